import { createHmac, timingSafeEqual } from 'node:crypto';
import { canonicalJson, type Json, sha256 } from './canonical-json.ts';

export type ReportFormat = 'json' | 'md' | 'html';

/** A digest of a part of a document, in its order. */
export type PartDigest = { readonly part: string; readonly sha256: string };

/** What stands at the end of a report and says whether the rest is what was written. */
export interface Seal {
  readonly sealVersion: 1;
  readonly format: ReportFormat;
  /** Of the canonical JSON of the data: the same in all formats of one report. */
  readonly data: string;
  /** Of each part of the data. */
  readonly dataParts: readonly PartDigest[];
  /** Of everything before the seal, as it stands in this file. */
  readonly text: string;
  /** Of each section of this file. */
  readonly textParts: readonly PartDigest[];
  /** HMAC-SHA-256 of the seal without `signature` and `self`; null: unsigned. */
  readonly signature: string | null;
  /** Of the seal without `self`. */
  readonly self: string;
}

/** Parts of a text: the lines before the first heading, then one per section. */
export type SplitText = (
  text: string,
) => readonly { readonly part: string; readonly text: string }[];

/** Seals a document. `key` null: unsigned. */
export function sealOf(
  format: ReportFormat,
  data: { readonly [key: string]: Json },
  text: string,
  split: SplitText,
  key: string | null,
): Seal {
  const unsigned = {
    sealVersion: 1,
    format,
    data: sha256(canonicalJson(data)),
    dataParts: dataPartsOf(data),
    text: sha256(text),
    textParts: textPartsOf(text, split),
  } as const;
  const signed = { ...unsigned, signature: key === null ? null : signatureOf(unsigned, key) };
  return { ...signed, self: sha256(canonicalJson(signed)) };
}

export const dataPartsOf = (data: { readonly [key: string]: Json }): readonly PartDigest[] =>
  Object.entries(data).map(([part, value]) => ({ part, sha256: sha256(canonicalJson(value)) }));

export const textPartsOf = (text: string, split: SplitText): readonly PartDigest[] =>
  split(text).map(({ part, text: one }) => ({ part, sha256: sha256(one) }));

/** Whether a seal is whole in itself. */
export function sealIsWhole({ self, ...rest }: Seal): boolean {
  return sha256(canonicalJson(rest as unknown as Json)) === self;
}

/** Whether a seal was signed with this key. */
export function sealIsSignedWith({ self: _, signature, ...rest }: Seal, key: string): boolean {
  if (signature === null) return false;
  const expected = Buffer.from(signatureOf(rest as unknown as Json, key), 'utf8');
  const found = Buffer.from(signature, 'utf8');
  return expected.length === found.length && timingSafeEqual(expected, found);
}

const signatureOf = (seal: Json, key: string): string =>
  createHmac('sha256', key).update(canonicalJson(seal), 'utf8').digest('hex');
