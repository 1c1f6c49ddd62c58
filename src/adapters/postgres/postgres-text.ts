import type { Scalar } from '../../record/index.ts';

/** An identifier, quoted whatever it holds. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string literal that is right whatever `standard_conforming_strings` says. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? ` E${quoted}` : quoted;
}

/** A one-dimensional `text[]` in PostgreSQL's own notation: one parameter for a whole column of a batch. */
export function textArray(values: readonly Scalar[]): string {
  let text = '{';
  for (let index = 0; index < values.length; index += 1) {
    if (index > 0) text += ',';
    const value = values[index];
    text += value === null || value === undefined ? 'NULL' : `"${escapeElement(value)}"`;
  }
  return `${text}}`;
}

const special = /["\\]/;
function escapeElement(value: string): string {
  return special.test(value) ? value.replace(/["\\]/g, '\\$&') : value;
}

/** The elements of a one-dimensional `text[]` that the server sent. */
export function parseTextArray(text: string): readonly Scalar[] {
  const values: Scalar[] = [];
  const pattern = /"((?:[^"\\]|\\.)*)"|([^{},"]+)/gsy;
  pattern.lastIndex = 1;
  while (pattern.lastIndex < text.length - 1) {
    const match = pattern.exec(text);
    if (match === null) break;
    const [, quoted, bare] = match;
    values.push(
      quoted === undefined
        ? bare === 'NULL'
          ? null
          : (bare ?? null)
        : quoted.replace(/\\(.)/gs, '$1'),
    );
    // Past the comma.
    pattern.lastIndex += 1;
  }
  return values;
}
