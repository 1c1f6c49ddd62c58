/** What Windows-1252 shows for 0x80 … 0x9f; undefined bytes stay the control characters that they are in latin1. */
const CP1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

const REPLACED = /[?\ufffd]/;
const NOT_ASCII = /[^\u0000-\u007f]/u;
const FOUR_BYTES = /[\u{10000}-\u{10ffff}]/gu;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const BYTE_ORDER_MARK = /^\ufeff/;

/** The text's UTF-8 bytes taken for latin1, or for Windows-1252. */
function misread(text: string, as: 'latin1' | 'cp1252'): string {
  const latin = Buffer.from(text, 'utf8').toString('latin1');
  if (as === 'latin1') return latin;
  return latin.replace(/[\u0080-\u009f]/g, (one) => CP1252[one.charCodeAt(0) - 0x80] ?? one);
}

/** True when one text became the other by being recoded, in either direction. */
export function isRecoded(a: string, b: string): boolean {
  if (!NOT_ASCII.test(a) && !NOT_ASCII.test(b)) return false;
  return (
    a.normalize('NFKC') === b.normalize('NFKC') ||
    a.replace(BYTE_ORDER_MARK, '') === b.replace(BYTE_ORDER_MARK, '') ||
    damaged(a, b) ||
    damaged(b, a)
  );
}

const damaged = (whole: string, broken: string): boolean =>
  isMojibake(whole, broken) || isReplaced(whole, broken) || isCut(whole, broken);

/** Once or twice, in any mixture of the two. */
function isMojibake(whole: string, broken: string): boolean {
  if (!NOT_ASCII.test(whole) || broken.length <= whole.length) return false;
  const once = [misread(whole, 'latin1'), misread(whole, 'cp1252')];
  if (once.includes(broken)) return true;
  return once.some((one) => [misread(one, 'latin1'), misread(one, 'cp1252')].includes(broken));
}

/**
 * Characters that the other character set does not have became `?` or `�`: one for each character, for each UTF-16 unit or for each byte, or they
 * were left out. All of them, or only those of four bytes, or only what latin1 does not have.
 */
function isReplaced(whole: string, broken: string): boolean {
  if (!NOT_ASCII.test(whole)) return false;
  const sets = [/[^\u0000-\u007f]/gu, /[^\u0000-\u00ff]/gu, FOUR_BYTES, LONE_SURROGATE];
  const made = sets.flatMap((set) => [
    whole.replace(set, ''),
    ...['?', '\ufffd'].flatMap((mark) => [
      whole.replace(set, mark),
      whole.replace(set, (one) => mark.repeat(one.length)),
      whole.replace(set, (one) => mark.repeat(Buffer.byteLength(one))),
    ]),
  ]);
  // Nothing of the text may be gone without a trace but what the set has taken.
  return made.some((one) => one !== whole && one === broken) && (broken !== '' || isEmoji(whole));
}

/** Only characters of four bytes: of such a text nothing is left when they are left out. */
const isEmoji = (text: string): boolean => text.replace(FOUR_BYTES, '') === '';

/** Cut in the middle of a character: at the first one of four bytes, or so that its first bytes or half of its pair are left. */
function isCut(whole: string, broken: string): boolean {
  const firstOfFour = whole.search(/[\u{10000}-\u{10ffff}]/u);
  if (firstOfFour >= 0 && broken === whole.slice(0, firstOfFour)) return true;
  const kept = withoutEnd(broken, '\ufffd').replace(/[\ud800-\udbff]$/, '');
  if (kept === broken || !whole.startsWith(kept)) return false;
  // What follows in the whole text must be a character that can be cut.
  const next = String.fromCodePoint(whole.codePointAt(kept.length) ?? 0x20);
  return NOT_ASCII.test(next) && (REPLACED.test(broken) || next.length === 2);
}

/** True when the texts are equal but for capital letters and accents. */
export function isFoldedEqual(a: string, b: string): boolean {
  return fold(a) === fold(b);
}

const fold = (text: string): string =>
  text
    .normalize('NFKD')
    .replace(/\p{Mn}/gu, '')
    .toUpperCase()
    .toLowerCase();

/** By hand: an expression that looks for the end from each place takes the square of the length, and values can be long. */
function withoutEnd(text: string, ends: string): string {
  let length = text.length;
  while (length > 0 && ends.includes(text.charAt(length - 1))) length -= 1;
  return text.slice(0, length);
}

/** Of `\\x…`. */
function withoutZeroBytes(hex: string): string {
  let length = hex.length;
  while (length >= 4 && hex.endsWith('00', length)) length -= 2;
  return hex.slice(0, length);
}

/** True when they are equal but for spaces or zero bytes at the end, or zeros in front of a whole number. */
export function isPadded(a: string, b: string): boolean {
  if (withoutEnd(a, ' \u0000') === withoutEnd(b, ' \u0000')) return true;
  if (/^\\x[0-9a-f]*$/.test(a) && /^\\x[0-9a-f]*$/.test(b))
    return withoutZeroBytes(a) === withoutZeroBytes(b);
  const digits = /^\d+$/;
  if (!digits.test(a) || !digits.test(b)) return false;
  return a.replace(/^0+(?=\d)/, '') === b.replace(/^0+(?=\d)/, '');
}

const TRUTHS: ReadonlyMap<string, boolean> = new Map([
  ...['t', 'true', 'y', 'yes', 'on', '1'].map((one) => [one, true] as const),
  ...['f', 'false', 'n', 'no', 'off', '0'].map((one) => [one, false] as const),
]);

/** True when both spell the same truth, in other words; case alone is not another word. */
export function isSameTruth(a: string, b: string, boolean: boolean): boolean {
  const [one, other] = [a.toLowerCase(), b.toLowerCase()];
  if (one === other) return false;
  const truth = (text: string): boolean | undefined =>
    TRUTHS.get(text) ?? (boolean && /^-?\d+$/.test(text) ? /[1-9]/.test(text) : bit(text));
  // Two letters: `t` and `y` may be anything, unless the column is known to hold truths.
  if (!boolean && /^[a-z]$/.test(one) && /^[a-z]$/.test(other)) return false;
  const known = truth(one);
  return known !== undefined && known === truth(other);
}

/** A bit or byte of 0 or 1, as stores and drivers show it. */
const bit = (text: string): boolean | undefined =>
  text === "b'1'" || text === '\\x01' || text === '\u0001'
    ? true
    : text === "b'0'" || text === '\\x00' || text === '\u0000'
      ? false
      : undefined;
