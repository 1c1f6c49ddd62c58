import { ChangeoverError, isChangeoverError } from '../../errors/index.ts';
import type { Key } from '../../record/index.ts';
import { type ModifiedFinding, type ModifiedRows, modifiedFindings } from '../../store/index.ts';
import type { CatalogCollection, CatalogColumn } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { keyOrder, keyRange } from './mysql-key-sql.ts';
import { decodedValue, selectExpression } from './mysql-literals.ts';
import { openTransactions } from './mysql-open-transactions.ts';
import { quoteLiteral } from './mysql-text.ts';

const TIME = /^(timestamp|datetime|date)$/;
const OPEN_MS = 5_000;

/** See `ModifiedRows`. */
export function createMysqlModified({ session, catalog }: MysqlStoreParts): ModifiedRows {
  const what = (collection: string): { readonly what: string } => ({
    what: `modification times of "${collection}"`,
  });
  return {
    async check(name, column) {
      const collection = await catalog.collection(name);
      const found = findingOf(collection, column);
      if (found) return [found];
      const { database, name: table, quoted } = collection.root;
      const { rows } = await session.query(
        `SELECT 1 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ${quoteLiteral(database)} AND TABLE_NAME = ${quoteLiteral(table)} AND COLUMN_NAME = ${quoteLiteral(column)} AND SEQ_IN_INDEX = 1 LIMIT 1`,
        what(name),
      );
      return rows.length > 0 ? [] : [modifiedFindings.noIndex(quoted, column)];
    },

    async horizon(name, column) {
      const collection = await catalog.collection(name);
      const at = columnOf(collection, column);
      // Before the mark: what is open when it is read may commit behind it with an older time.
      const openMs = await oldestMs();
      // A time of the future would be a mark that nothing reaches for as long: the store's clock is its end.
      const { rows } = await session.query(
        `SELECT MAX(t.${at.quoted}) FROM ${collection.root.quoted} t WHERE t.${at.quoted} <= NOW(6)`,
        what(name),
      );
      return { newest: rows[0]?.[0] ?? null, openMs };
    },

    async keys(name, column, { from, backMs, until, after }, limit) {
      const collection = await catalog.collection(name);
      const at = columnOf(collection, column);
      const { key, quoted } = collection.root;
      const time = `t.${at.quoted}`;
      const moment = (text: string): string => `CAST(${quoteLiteral(text)} AS DATETIME(6))`;
      const conditions = [
        `${time} >= ${moment(from)} - INTERVAL ${Math.ceil(backMs * 1_000)} MICROSECOND`,
        `${time} <= ${moment(until)}`,
      ];
      if (after !== null) {
        const behind = keyRange(key, 't', { after: after.key, until: null });
        conditions.push(
          `${time} >= ${moment(after.at)}`,
          `(${time} > ${moment(after.at)} OR ${behind})`,
        );
      }
      const names = key.map((part) => selectExpression(part, 't')).join(', ');
      const { rows } = await session.query(
        `SELECT ${time}, ${names} FROM ${quoted} t WHERE ${conditions.join(' AND ')} ORDER BY ${time}, ${keyOrder(key, 't')} LIMIT ${Math.trunc(limit)}`,
        what(name),
      );
      return rows.map(([value, ...parts]) => ({
        at: value ?? '',
        key: key.map((part, index) => decodedValue(part, parts[index] ?? null)) as Key,
      }));
    },
  };

  /** null without the privilege to see others. */
  async function oldestMs(): Promise<number | null> {
    try {
      const { rows } = await openTransactions(session, OPEN_MS);
      return rows.reduce((oldest, row) => Math.max(oldest, Number(row[4] ?? 0)), 0);
    } catch (error) {
      if (isChangeoverError(error, 'STORE_REJECTED')) return null;
      throw error;
    }
  }
}

function findingOf({ root }: CatalogCollection, name: string): ModifiedFinding | null {
  const column = root.allColumns.find((one) => one.name === name);
  if (!column) return modifiedFindings.missing(root.quoted, name);
  return TIME.test(column.dataType)
    ? null
    : modifiedFindings.noTime(root.quoted, name, column.dataType);
}

function columnOf(collection: CatalogCollection, name: string): CatalogColumn {
  const finding = findingOf(collection, name);
  if (finding) throw new ChangeoverError('CONFIG_INVALID', `${finding.text}. ${finding.fix}`);
  return collection.root.allColumns.find((one) => one.name === name) as CatalogColumn;
}
