import type { QueueEntry } from '../../queue/index.ts';
import { encodeKey } from '../../record/index.ts';
import type { CatalogColumn, MysqlCatalog } from './mysql-catalog.ts';
import { keyEquals, spelledKey } from './mysql-key-sql.ts';
import { keyTextSql } from './mysql-key-text.ts';
import { checkKeys, isCertain } from './mysql-read.ts';
import { quoteLiteral } from './mysql-text.ts';

/** Keys of entries as they are queued. */
export interface QueuedKeys {
  /** To be run before, in the same session: they look for the rows on which a spelling depends. */
  readonly looks: readonly string[];
  /** An expression for each entry. */
  readonly texts: readonly string[];
}

/**
 * The keys of entries **as the table spells them**: as the row does, or else as the column would. Verification asks the queue by that spelling; an application may say '05' for
 * 5, or 'ABC' for 'abc'. Rows are looked for in the round trip of the entries, and not in their statement: that would share-lock them, and the entries' numbers need not
 * follow each other any more. Throws where the column cannot hold a key, or the table cannot be looked at.
 */
export async function spelledKeys(
  catalog: MysqlCatalog,
  entries: readonly QueueEntry[],
): Promise<QueuedKeys> {
  const looks: string[] = [];
  const texts: string[] = [];
  for (const { collection, key } of entries) {
    const found = await catalog.collection(collection);
    checkKeys(found, [key]);
    const { root } = found;
    const text = quoteLiteral(encodeKey(spelledKey(root.key, key)));
    if (isCertain(root.key, key) && root.key.every(hasOneSpelling)) {
      texts.push(text);
      continue;
    }
    const variable = `@changeover_key_${texts.length}`;
    looks.push(
      `SELECT MAX(${keyTextSql(root.key, 't')}) INTO ${variable} FROM ${root.quoted} t WHERE ${keyEquals(root.key, 't', key)}`,
    );
    texts.push(`COALESCE(${variable}, ${text})`);
  }
  return { looks, texts };
}

/** False where a row that equals a key may have other blanks at its end. */
const hasOneSpelling = ({ type, noPad }: CatalogColumn): boolean =>
  type.kind !== 'text' || noPad || type.padded === true;

export const givenKeys = (entries: readonly QueueEntry[]): QueuedKeys => ({
  looks: [],
  texts: entries.map(({ key }) => quoteLiteral(encodeKey(key))),
});
