import { createHmac, timingSafeEqual } from 'node:crypto';
import { ChangeoverError } from '../errors/index.ts';
import {
  compareVersions,
  encodeKey,
  formatVersion,
  type Key,
  parseVersion,
  type Version,
} from '../record/index.ts';

/** Entries of a token at most; the oldest are folded into one that stands for every key. One entry is about 30 bytes. */
export const tokenEntriesMax = 16;

/** Subject of the folded entry: any key may be one of those that it stands for. */
export const everySubject = '*';

/** One write that the bearer of a token has made. */
export interface TokenEntry {
  /** Hash of collection and key (tokens carry no keys; a collision only costs a read on the authority), or `everySubject`. */
  readonly subject: string;
  readonly version: Version;
}

/** Makes and reads read-your-writes tokens: `v1~subject:epoch.sequence~…[~=signature]`, safe in cookies and headers. */
export interface TokenCodec {
  /** '' for no entries: the token of a write that nothing follows. */
  encode(entries: readonly TokenEntry[]): string;
  /** [] for ''. TOKEN_INVALID for anything that `encode` did not make (with a secret: with that secret). */
  decode(token: string): readonly TokenEntry[];
}

/** Two 32-bit FNV-1a hashes with different seeds, as 16 hex digits. */
export function tokenSubject(collection: string, key: Key): string {
  const text = `${collection}\u0000${encodeKey(key)}`;
  let a = 0x811c9dc5;
  let b = 0x01234567;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit, 0x01000193) ^ (b >>> 15);
  }
  return (a >>> 0).toString(16).padStart(8, '0') + (b >>> 0).toString(16).padStart(8, '0');
}

export function createTokenCodec(secret: string | null): TokenCodec {
  const sign = (body: string): string =>
    secret === null
      ? ''
      : `~=${createHmac('sha256', secret).update(body).digest('base64url').slice(0, 22)}`;
  return {
    encode(entries) {
      if (entries.length === 0) return '';
      const kept = fold(entries);
      const body = `v1~${kept.map((entry) => `${entry.subject}:${formatVersion(entry.version)}`).join('~')}`;
      return body + sign(body);
    },
    decode(token) {
      if (token === '') return [];
      const cut = token.lastIndexOf('~=');
      const body = cut < 0 ? token : token.slice(0, cut);
      if (secret !== null && !sameText(sign(body), cut < 0 ? '' : token.slice(cut)))
        throw invalid('its signature is wrong');
      const [format, ...entries] = body.split('~');
      if (format !== 'v1' || entries.length === 0 || entries.length > tokenEntriesMax)
        throw invalid('its format is unknown');
      return entries.map(parseEntry);
    },
  };
}

/** One token that stands for the writes of several. */
export function mergeTokens(codec: TokenCodec, tokens: readonly string[]): string {
  const newest = new Map<string, TokenEntry>();
  for (const entry of tokens.flatMap((token) => codec.decode(token))) {
    const known = newest.get(entry.subject);
    if (known && compareVersions(known.version, entry.version) > 0) continue;
    // The folded entry stays in front, where the oldest are folded again.
    if (entry.subject !== everySubject) newest.delete(entry.subject);
    newest.set(entry.subject, entry);
  }
  return codec.encode([...newest.values()]);
}

/** Forgetting an entry would break the promise to its bearer, so the surplus becomes one demand on every key, at its newest version. */
function fold(entries: readonly TokenEntry[]): readonly TokenEntry[] {
  if (entries.length <= tokenEntriesMax) return entries;
  const surplus = entries.slice(0, entries.length - tokenEntriesMax + 1);
  const newest = surplus.reduce((a, b) => (compareVersions(a.version, b.version) > 0 ? a : b));
  return [{ ...newest, subject: everySubject }, ...entries.slice(surplus.length)];
}

function parseEntry(text: string): TokenEntry {
  const [subject, versionText] = text.split(':');
  const version = parseVersion(versionText ?? '');
  if (!subject || !/^([0-9a-f]{16}|\*)$/.test(subject) || !version)
    throw invalid('an entry cannot be read');
  return { subject, version };
}

function invalid(why: string): ChangeoverError {
  return new ChangeoverError('TOKEN_INVALID', `The token is not valid: ${why}.`);
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
