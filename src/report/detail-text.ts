/** Names of details that may hold keys or values of records: they stay out of a report unless keys were asked for. */
const revealing =
  /^(keys?|ranges?|scope|after|until|lastKey|firstKey|expected|actual|values?|record)$/;
const LENGTH_MAX = 400;

/** A text, or null when it is none. */
export const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/** The details of a note as short texts, without those in `known` and without keys and values of records. Nested ones become `a.b`, three levels deep. */
export function detailTexts(
  detail: Readonly<Record<string, unknown>>,
  known: ReadonlySet<string> = new Set(),
  showKeys = false,
): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  const take = (prefix: string, value: unknown, depth: number): void => {
    if (value === null || value === undefined) return;
    if (Array.isArray(value) && value.every((one) => typeof one !== 'object' || one === null)) {
      if (value.length > 0) texts[prefix] = cut(value.join(', '));
    } else if (typeof value === 'object') {
      if (depth >= 3) return;
      for (const [name, one] of Object.entries(value)) {
        if (!showKeys && revealing.test(name)) continue;
        take(prefix === '' ? name : `${prefix}.${name}`, one, depth + 1);
      }
    } else texts[prefix] = cut(String(value));
  };
  for (const [name, value] of Object.entries(detail)) {
    if (known.has(name) || (!showKeys && revealing.test(name))) continue;
    take(name, value, 1);
  }
  return texts;
}

const cut = (text: string): string =>
  text.length <= LENGTH_MAX ? text : `${text.slice(0, LENGTH_MAX)}…`;
