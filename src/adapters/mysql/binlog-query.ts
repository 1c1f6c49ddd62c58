import { xaBranch } from './binlog-events.ts';
import { SqlWords } from './binlog-sql-words.ts';

/** A table as a statement names it; `schema` is the statement's default database where it names none. */
export interface NamedTable {
  readonly schema: string;
  readonly name: string;
}

/** What a statement in the log does, as far as the reader has to know. */
export type LoggedStatement =
  | { readonly kind: 'begin' | 'commit' | 'rollback' | 'other' }
  | { readonly kind: 'savepoint' | 'rollback-to'; readonly name: string }
  | { readonly kind: 'xa-start' | 'xa-end' }
  | { readonly kind: 'xa-commit' | 'xa-rollback'; readonly branch: string }
  /** All rows of these go. */
  | { readonly kind: 'truncate'; readonly tables: readonly NamedTable[] }
  /** These are no longer what they were: dropped, renamed, replaced. */
  | { readonly kind: 'replaced'; readonly how: string; readonly tables: readonly NamedTable[] }
  | { readonly kind: 'drop-database'; readonly schema: string }
  /** The form may have changed. `rowsChanged`: rows went or came that no row event tells of. `open`: row events follow in the same transaction. */
  | {
      readonly kind: 'form';
      readonly tables: readonly NamedTable[];
      readonly rowsChanged: boolean;
      readonly open: boolean;
    }
  /** Rows are changed by the statement itself (format STATEMENT). null: no telling which. */
  | { readonly kind: 'statement-rows'; readonly targets: readonly NamedTable[] | null };

const OTHER: LoggedStatement = { kind: 'other' };

/** @param database default database of the statement */
export function loggedStatement(text: string, database: string): LoggedStatement {
  return statementOf(new SqlWords(text), database);
}

function statementOf(words: SqlWords, database: string): LoggedStatement {
  const first = words.word();
  switch (first) {
    case 'BEGIN':
      return { kind: 'begin' };
    case 'START':
      return words.take('TRANSACTION') ? { kind: 'begin' } : OTHER;
    case 'COMMIT':
      return { kind: 'commit' };
    case 'ROLLBACK':
      return rollback(words);
    case 'SAVEPOINT':
      return { kind: 'savepoint', name: words.name() };
    case 'XA':
      return xa(words);
    case 'TRUNCATE':
      words.take('TABLE');
      return { kind: 'truncate', tables: [table(words, database)] };
    case 'DROP':
      return drop(words, database);
    case 'RENAME':
      return words.take('TABLE') || words.take('TABLES') ? rename(words, database) : OTHER;
    case 'CREATE':
      return create(words, database);
    case 'ALTER':
      return alter(words, database);
    case 'SET':
      return setStatement(words, database);
    case 'ANALYZE':
      return analyze(words, database);
    default:
      return rowStatement(first, words, database);
  }
}

function rollback(words: SqlWords): LoggedStatement {
  words.take('WORK');
  if (!words.take('TO')) return { kind: 'rollback' };
  words.take('SAVEPOINT');
  return { kind: 'rollback-to', name: words.name() };
}

function xa(words: SqlWords): LoggedStatement {
  const what = words.word();
  if (what === 'START' || what === 'BEGIN') return { kind: 'xa-start' };
  if (what === 'END') return { kind: 'xa-end' };
  if (what !== 'COMMIT' && what !== 'ROLLBACK') return OTHER;
  // X'…',X'…',1
  const global = words.hex();
  const branch = words.hex();
  const format = words.number();
  const kind = what === 'COMMIT' ? 'xa-commit' : 'xa-rollback';
  return { kind, branch: xaBranch(global, branch, format) };
}

function table(words: SqlWords, database: string): NamedTable {
  const first = words.name();
  return words.sign('.')
    ? { schema: first, name: words.name() }
    : { schema: database, name: first };
}

function tables(words: SqlWords, database: string): readonly NamedTable[] {
  const found = [table(words, database)];
  while (words.sign(',')) found.push(table(words, database));
  return found;
}

function drop(words: SqlWords, database: string): LoggedStatement {
  if (words.take('DATABASE') || words.take('SCHEMA')) {
    ifExists(words);
    return { kind: 'drop-database', schema: words.name() };
  }
  // Temporary tables hide others in one session only.
  if (!words.take('TABLE') && !words.take('TABLES')) return OTHER;
  ifExists(words);
  return { kind: 'replaced', how: 'dropped', tables: tables(words, database) };
}

function ifExists(words: SqlWords): boolean {
  if (!words.take('IF')) return false;
  words.take('NOT');
  words.take('EXISTS');
  return true;
}

function rename(words: SqlWords, database: string): LoggedStatement {
  ifExists(words);
  const found: NamedTable[] = [];
  do {
    found.push(table(words, database));
    // RENAME TABLE a NOWAIT TO b, WAIT 5 (MariaDB)
    while (!words.take('TO') && words.word() !== '');
    found.push(table(words, database));
  } while (words.sign(','));
  return { kind: 'replaced', how: 'renamed', tables: found };
}

function create(words: SqlWords, database: string): LoggedStatement {
  const replace = words.take('OR') && words.take('REPLACE');
  if (!words.take('TABLE')) return OTHER;
  ifExists(words);
  const created = [table(words, database)];
  if (replace) return { kind: 'replaced', how: 'replaced', tables: created };
  return { kind: 'form', tables: created, rowsChanged: false, open: words.endsInStart() };
}

/** Parts of ALTER TABLE after which rows are gone, or there, without row events. */
const ROWS_CHANGED: readonly (readonly [string, string])[] = [
  ['DROP', 'PARTITION'],
  ['TRUNCATE', 'PARTITION'],
  ['EXCHANGE', 'PARTITION'],
  ['CONVERT', 'PARTITION'],
  ['CONVERT', 'TABLE'],
  ['DISCARD', 'TABLESPACE'],
  ['DISCARD', 'PARTITION'],
  ['IMPORT', 'TABLESPACE'],
  ['IMPORT', 'PARTITION'],
  ['SYSTEM', 'VERSIONING'],
];
const NOT_A_TABLE = ['COLUMN', 'INDEX', 'KEY', 'CONSTRAINT'];

function alter(words: SqlWords, database: string): LoggedStatement {
  words.take('ONLINE');
  words.take('IGNORE');
  if (!words.take('TABLE')) return OTHER;
  ifExists(words);
  const altered = table(words, database);
  let rowsChanged = false;
  for (;;) {
    const word = words.next();
    if (word === '') break;
    if (word === 'RENAME' && !NOT_A_TABLE.some((kind) => words.peek(kind))) {
      while (words.take('TO') || words.take('AS') || words.sign('='));
      const renamed = table(words, database);
      return { kind: 'replaced', how: 'renamed', tables: [altered, renamed] };
    }
    rowsChanged ||= ROWS_CHANGED.some(([one, two]) => word === one && words.peek(two));
  }
  return { kind: 'form', tables: [altered], rowsChanged, open: false };
}

/** MariaDB: SET STATEMENT max_statement_time=1 FOR UPDATE … */
function setStatement(words: SqlWords, database: string): LoggedStatement {
  if (!words.take('STATEMENT')) return OTHER;
  for (;;) {
    const word = words.next();
    if (word === '') return OTHER;
    if (word === 'FOR') return statementOf(words, database);
  }
}

/** MariaDB: ANALYZE UPDATE … runs it. */
function analyze(words: SqlWords, database: string): LoggedStatement {
  for (const word of ['TABLE', 'TABLES', 'LOCAL', 'NO_WRITE_TO_BINLOG', 'PERSISTENT'])
    if (words.peek(word)) return OTHER;
  if (words.take('FORMAT')) {
    words.sign('=');
    words.next();
  }
  return statementOf(words, database);
}

function rowStatement(first: string, words: SqlWords, database: string): LoggedStatement {
  const only = (target: NamedTable): LoggedStatement => ({
    kind: 'statement-rows',
    targets: [target],
  });
  switch (first) {
    case 'INSERT':
    case 'REPLACE':
      for (const word of ['LOW_PRIORITY', 'DELAYED', 'HIGH_PRIORITY', 'IGNORE', 'INTO'])
        words.take(word);
      return only(table(words, database));
    case 'LOAD':
      while (words.peek('INTO') === false && words.next() !== '');
      words.take('INTO');
      words.take('TABLE');
      return only(table(words, database));
    case 'UPDATE':
      for (const word of ['LOW_PRIORITY', 'IGNORE']) words.take(word);
      return single(words, database, 'SET');
    case 'DELETE':
      for (const word of ['LOW_PRIORITY', 'QUICK', 'IGNORE']) words.take(word);
      return words.take('FROM') ? single(words, database, 'WHERE') : UNKNOWN;
    case 'WITH':
    case 'SELECT':
    case 'DO':
    case 'CALL':
    case 'EXECUTE':
      return UNKNOWN;
    default:
      return OTHER;
  }
}

const UNKNOWN: LoggedStatement = { kind: 'statement-rows', targets: null };

/** One table, then `end` (or nothing more); everything else names several. */
function single(words: SqlWords, database: string, end: string): LoggedStatement {
  const target = table(words, database);
  if (words.peek(end) || words.next() === '') return { kind: 'statement-rows', targets: [target] };
  return UNKNOWN;
}
