import { readFileSync } from 'node:fs';

/**
 * The statements of a fenced block in a guide, one each, comments taken out. Blocks that tests execute have a line `<!-- tried: name -->` above them: what a
 * reader copies is what was tried.
 */
export function guideStatements(guide: string, name: string): readonly string[] {
  return guideBlock(guide, name)
    .replace(/\s--\s.*$/gm, '')
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}

/** The lines `name = value` of such a block, without section headings and comments. */
export function guideSettings(guide: string, name: string): Readonly<Record<string, string>> {
  const lines = guideBlock(guide, name).split('\n');
  const pairs = lines.flatMap((line) => {
    const [, key, value] = /^(\w+)\s*=\s*([^#\s]+)/.exec(line) ?? [];
    return key !== undefined && value !== undefined ? [[key, value] as const] : [];
  });
  return Object.fromEntries(pairs);
}

function guideBlock(guide: string, name: string): string {
  const text = readFileSync(new URL(`../../docs/guides/${guide}`, import.meta.url), 'utf8');
  const [, block] =
    new RegExp(`<!-- tried: ${name} -->\\n+\`\`\`\\w+\\n([^]*?)\`\`\``).exec(text) ?? [];
  if (block === undefined) throw new Error(`${guide} has no block "${name}"`);
  return block;
}
