import { ChangeoverError } from '../../errors/index.ts';
import type { QueryEvent } from './binlog-events.ts';
import { type LoggedStatement, loggedStatement, type NamedTable } from './binlog-query.ts';
import type { LogDirectory } from './mysql-log-directory.ts';
import { tableText } from './mysql-log-tables.ts';
import type { LogTransaction } from './mysql-log-transaction.ts';

/** What a statement does to the transaction in which it stands. */
export type StatementEffect =
  | { readonly kind: 'go on' | 'commit' | 'rollback' }
  | { readonly kind: 'decided'; readonly branch: string; readonly committed: boolean };

const GO_ON: StatementEffect = { kind: 'go on' };

/**
 * What statements in the log mean for rows of ours. LOG_LOST for what changes rows without row events, SCHEMA_CHANGED for tables that are no longer
 * what they were.
 */
export class LogStatements {
  readonly #directory: LogDirectory;

  constructor(directory: LogDirectory) {
    this.#directory = directory;
  }

  /** @param load LOAD DATA as a statement: always changes rows */
  take(
    { text, database }: QueryEvent,
    transaction: LogTransaction,
    load: boolean,
  ): StatementEffect | Promise<StatementEffect> {
    const statement = loggedStatement(text, database);
    switch (statement.kind) {
      case 'begin':
        transaction.begun = true;
        return GO_ON;
      case 'commit':
      case 'rollback':
        return { kind: statement.kind };
      case 'savepoint':
        transaction.savepoint(statement.name);
        return GO_ON;
      case 'rollback-to':
        transaction.rollbackTo(statement.name);
        return GO_ON;
      case 'xa-start':
        transaction.begun = true;
        transaction.xa = true;
        return GO_ON;
      case 'xa-end':
        return GO_ON;
      case 'xa-commit':
      case 'xa-rollback':
        return {
          kind: 'decided',
          branch: statement.branch,
          committed: statement.kind === 'xa-commit',
        };
      case 'other':
        if (load) throw statementFormat(transaction, null);
        return GO_ON;
      default:
        return this.#tables(statement, transaction);
    }
  }

  #tables(
    statement: Extract<
      LoggedStatement,
      { kind: 'truncate' | 'replaced' | 'drop-database' | 'form' | 'statement-rows' }
    >,
    transaction: LogTransaction,
  ): StatementEffect | Promise<StatementEffect> {
    const { published } = this.#directory;
    const ours = (tables: readonly NamedTable[]): readonly NamedTable[] =>
      tables.filter((table) => published.has(table));
    switch (statement.kind) {
      case 'drop-database': {
        const gone = published.inSchema(statement.schema);
        if (gone.length > 0) throw replaced(gone, 'dropped with its database', transaction);
        return GO_ON;
      }
      case 'replaced': {
        const gone = ours(statement.tables);
        if (gone.length > 0) throw replaced(gone, statement.how, transaction);
        return GO_ON;
      }
      case 'truncate':
        return this.#truncate(ours(statement.tables), transaction);
      case 'form': {
        const changed = ours(statement.tables);
        if (statement.open) transaction.begun = true;
        if (changed.length === 0) return GO_ON;
        if (statement.rowsChanged) throw rowsWithoutEvents(changed, transaction);
        return this.#directory.noticed(changed, transaction.sequence).then(() => GO_ON);
      }
      case 'statement-rows':
        return this.#statementRows(statement.targets, transaction);
    }
  }

  async #truncate(
    tables: readonly NamedTable[],
    transaction: LogTransaction,
  ): Promise<StatementEffect> {
    for (const table of tables) {
      const log = await this.#directory.described(table);
      transaction.add({ kind: 'truncate', table: log, sequence: transaction.sequence });
    }
    return GO_ON;
  }

  #statementRows(
    targets: readonly NamedTable[] | null,
    transaction: LogTransaction,
  ): StatementEffect | Promise<StatementEffect> {
    const { published } = this.#directory;
    if (targets === null || targets.some((table) => published.has(table)))
      throw statementFormat(transaction, targets);
    if (targets.every((table) => this.#directory.isOwn(table))) return GO_ON;
    // A view, or a table with triggers, may change rows of ours.
    return this.#directory.isPlain(targets).then((plain) => {
      if (!plain) throw statementFormat(transaction, targets);
      return GO_ON;
    });
  }
}

const names = (tables: readonly NamedTable[]): string => tables.map(tableText).join(', ');

function replaced(
  tables: readonly NamedTable[],
  how: string,
  { text }: LogTransaction,
): ChangeoverError {
  return new ChangeoverError(
    'SCHEMA_CHANGED',
    `Table ${names(tables)} was ${how} on the source (${text} of its binary log): what has its name now is another table, whose rows the log does not tell. Start anew with the table as it is now, or take the change back before the worker reads on from a copy.`,
    { data: { tables: tables.map(tableText), place: text } },
  );
}

function rowsWithoutEvents(
  tables: readonly NamedTable[],
  { text }: LogTransaction,
): ChangeoverError {
  return new ChangeoverError(
    'LOG_LOST',
    `A statement at ${text} of the binary log took rows of ${names(tables)} away, or brought some, without row events (partitions or tablespaces): which ones cannot be known.`,
    { data: { tables: tables.map(tableText), place: text } },
  );
}

function statementFormat(
  { text }: LogTransaction,
  targets: readonly NamedTable[] | null,
): ChangeoverError {
  const what = targets === null ? 'tables that cannot be told' : names(targets);
  return new ChangeoverError(
    'LOG_LOST',
    `At ${text} of the binary log rows were changed by a statement in STATEMENT format (${what}): which rows cannot be known. Set binlog_format=ROW, also for sessions that choose another, before starting anew.`,
    { data: { place: text, targets: (targets ?? []).map(tableText) } },
  );
}
