import { type Json, sha256 } from './canonical-json.ts';
import {
  dataPartsOf,
  type PartDigest,
  type ReportFormat,
  type Seal,
  sealIsSignedWith,
  sealIsWhole,
  textPartsOf,
} from './seal.ts';
import { frames, reportFormats, sealText } from './write-report.ts';

/** What a look at a report's file found. */
export interface ReportCheck {
  /** `foreign`: this is no report of ours. */
  readonly verdict: 'intact' | 'altered' | 'foreign';
  readonly format: ReportFormat | null;
  /** What was altered, as far as it can be told; empty for `intact`. */
  readonly altered: readonly string[];
  /** `unchecked`: it is signed, and there was no key to check it with. */
  readonly signature: 'valid' | 'invalid' | 'unsigned' | 'unchecked';
  /** SHA-256 of the canonical data: the same in every format of one report. null: not known. */
  readonly dataSha256: string | null;
}

/**
 * Whether a file is, byte for byte, what `report` wrote. A seal shows accidents and edits; only a signature shows somebody who sealed anew. With a key, a
 * report that is unsigned or signed with another one is not intact. Never throws.
 */
export function checkReport(bytes: Uint8Array, key: string | null): ReportCheck {
  const text = decode(bytes);
  if (text === null) {
    const ours = Buffer.from(bytes).toString('latin1').includes(MARK);
    return failed(ours ? 'altered' : 'foreign', null, ['bytes that are no UTF-8']);
  }
  // Mail and version control do that; it is still another file.
  if (text.includes('\r\n') && checkReport(withLineFeeds(text), key).verdict === 'intact')
    return failed('altered', null, ['the ends of its lines (CRLF), and nothing else']);
  const found = findSeal(text);
  if (found === null)
    return text.includes(MARK)
      ? failed('altered', null, ['the seal at the end'])
      : failed('foreign', null, []);
  const { format, body, seal, raw } = found;
  const altered = alterations(format, body, seal, raw);
  const signature = signatureOf(seal, key);
  if (signature === 'invalid') altered.push('the signature does not belong to this key');
  if (key !== null && signature === 'unsigned') altered.push('it is not signed');
  return {
    verdict: altered.length === 0 ? 'intact' : 'altered',
    format,
    altered,
    signature,
    dataSha256: seal.data,
  };
}

/** Stands in every report, whatever its format. */
const MARK = 'sealVersion';

const failed = (
  verdict: 'altered' | 'foreign',
  format: ReportFormat | null,
  altered: readonly string[],
): ReportCheck => ({ verdict, format, altered, signature: 'unchecked', dataSha256: null });

function decode(bytes: Uint8Array): string | null {
  try {
    // A mark of byte order would be a byte that nobody wrote.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

const withLineFeeds = (text: string): Uint8Array => Buffer.from(text.replaceAll('\r\n', '\n'));

interface FoundSeal {
  readonly format: ReportFormat;
  readonly body: string;
  readonly seal: Seal;
  readonly raw: string;
}

/** The seal at the end of a text, by the frame of one of the formats. */
function findSeal(text: string): FoundSeal | null {
  for (const format of reportFormats) {
    const { before, after } = frames[format];
    const begin = text.lastIndexOf(before);
    if (begin < 0 || !text.endsWith(after)) continue;
    const raw = text.slice(begin + before.length, text.length - after.length);
    const seal = sealFrom(raw);
    if (seal !== null) return { format, body: text.slice(0, begin), seal, raw };
  }
  return null;
}

function sealFrom(raw: string): Seal | null {
  try {
    const seal = JSON.parse(raw) as Partial<Seal> | null;
    const whole =
      typeof seal === 'object' &&
      seal !== null &&
      typeof seal.text === 'string' &&
      typeof seal.self === 'string' &&
      Array.isArray(seal.textParts) &&
      Array.isArray(seal.dataParts);
    return whole ? (seal as Seal) : null;
  } catch {
    return null;
  }
}

function alterations(format: ReportFormat, body: string, seal: Seal, raw: string): string[] {
  const altered: string[] = [];
  if (
    seal.sealVersion !== 1 ||
    seal.format !== format ||
    !sealIsWhole(seal) ||
    sealText(seal) !== raw
  )
    altered.push('the seal at the end');
  if (sha256(body) !== seal.text) {
    const parts = differing(textPartsOf(body, frames[format].split), seal.textParts);
    altered.push(...parts.map((part) => `section "${part}"`));
    if (parts.length === 0) altered.push('the text');
  }
  const data = dataIn(format, body);
  if (data === undefined) return altered;
  const parts = data === null ? ['all of them'] : differing(dataPartsOf(data), seal.dataParts);
  altered.push(...parts.map((part) => `data "${part}"`));
  return altered;
}

/** Parts that are not the same in both, or only in one. */
function differing(now: readonly PartDigest[], sealed: readonly PartDigest[]): readonly string[] {
  const before = new Map(sealed.map((one) => [one.part, one.sha256]));
  const names = new Set([...before.keys(), ...now.map(({ part }) => part)]);
  const after = new Map(now.map((one) => [one.part, one.sha256]));
  return [...names].filter((part) => before.get(part) !== after.get(part));
}

/** The data in a file; null: they cannot be read; undefined: this format holds none. */
function dataIn(
  format: ReportFormat,
  body: string,
): { readonly [key: string]: Json } | null | undefined {
  if (format === 'md') return undefined;
  const json =
    format === 'json'
      ? `${body}}`
      : (/<script type="application\/json" id="report-data">(.*)<\/script>/.exec(body)?.[1] ?? '');
  try {
    const value = JSON.parse(json) as Json;
    const data = format === 'json' ? (value as { readonly report?: Json }).report : value;
    return data !== null && typeof data === 'object' && !Array.isArray(data)
      ? (data as { readonly [key: string]: Json })
      : null;
  } catch {
    return null;
  }
}

function signatureOf(seal: Seal, key: string | null): ReportCheck['signature'] {
  if (seal.signature === null) return 'unsigned';
  if (key === null) return 'unchecked';
  return sealIsSignedWith(seal, key) ? 'valid' : 'invalid';
}
