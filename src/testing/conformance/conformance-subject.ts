import type { DataRecord, Row } from '../../record/index.ts';
import type { MigrationStore, StoreCapabilities } from '../../store/index.ts';

/** What the suite needs of a test framework; vitest, jest, mocha and node:test have it under these names. */
export interface TestFramework {
  describe(title: string, body: () => void): unknown;
  readonly test: {
    (title: string, body: () => Promise<void>): unknown;
    skip(title: string, body: () => Promise<void>): unknown;
  };
}

/** Fresh stores for one test. */
export interface ConformanceStores {
  /** Opened with `conformanceShapes`; tables exist and are empty; nothing of ours is installed. */
  readonly source: MigrationStore;
  /** Likewise, in another place. */
  readonly target: MigrationStore;
  /** Second handles on the same data, sharing nothing in memory that two processes could not share. */
  readonly sourceAgain: MigrationStore;
  readonly targetAgain: MigrationStore;
  /** Inserts a row of `items` as a program would that does not know the library. Needed with `supportsGuard`. */
  foreignInsert?(side: 'source' | 'target', record: DataRecord): Promise<void>;
  /** Closes all handles and removes everything. */
  close(): Promise<void>;
}

/**
 * A statement of a program that does not know the library, on one row by its whole key. `where` of a child table also names the parent's columns;
 * `set` may change keys.
 */
export type ForeignStatement =
  | { readonly kind: 'insert'; readonly table: string; readonly row: Row }
  | { readonly kind: 'update'; readonly table: string; readonly where: Row; readonly set: Row }
  | { readonly kind: 'delete'; readonly table: string; readonly where: Row }
  | { readonly kind: 'truncate'; readonly table: string };

/** Stores whose collections are captured from the log. */
export interface LoggedStores extends ConformanceStores {
  /** One transaction of such a program; it is open while `beforeCommit` runs. `foreignSql` makes the statements. */
  foreignTransaction(
    side: 'source' | 'target',
    statements: readonly ForeignStatement[],
    beforeCommit?: () => Promise<void>,
  ): Promise<void>;
}

/** An adapter under test. */
export interface ConformanceSubject {
  readonly name: string;
  readonly framework: TestFramework;
  /** What the adapter declares; decides what is skipped, and is compared with what the opened stores declare. */
  readonly capabilities: StoreCapabilities;
  /**
   * True when the table of `items` refuses the name `forbidden` for good (a check constraint). False skips the facts
   * about refused batches.
   */
  readonly refusesForbidden: boolean;
  open(): Promise<ConformanceStores>;
  /**
   * As `open`, with `StoreContext.logged` naming both collections on both sides, and a log that tells the parent's columns of old child rows. Absent:
   * the store has no `door.log`, and the facts about logs are left out.
   */
  openLogged?(): Promise<LoggedStores>;
  /** False: it takes in what a log delivers and has none to give. Default true. */
  readonly readsLog?: boolean;
  /** False: it opens no snapshots that know their place in the log. Default true. */
  readonly snapshots?: boolean;
}

/** One fact: registered as a test with stores of its own, the source as authority and the target as follower of epoch 1. */
export type Fact = (
  title: string,
  body: (stores: ConformanceStores) => Promise<void>,
  requires?: boolean,
) => void;

/** A fact about stores whose collections are captured from the log. */
export type LogFact = (
  title: string,
  body: (stores: LoggedStores) => Promise<void>,
  requires?: boolean,
) => void;

/** How facts of `subject` are registered. */
export function factsOf(subject: ConformanceSubject, installed = true): Fact {
  return factsWith(subject, () => subject.open(), installed);
}

/** The same for facts about logs. */
export function logFactsOf(
  subject: ConformanceSubject,
  open: () => Promise<LoggedStores>,
): LogFact {
  return factsWith(subject, open, true);
}

function factsWith<S extends ConformanceStores>(
  subject: ConformanceSubject,
  open: () => Promise<S>,
  installed: boolean,
): (title: string, body: (stores: S) => Promise<void>, requires?: boolean) => void {
  return (title, body, requires = true) => {
    const run = async (): Promise<void> => {
      const stores = await open();
      try {
        if (installed) {
          await stores.source.setup.install('authority', 1);
          await stores.target.setup.install('follower', 1);
        }
        await body(stores);
      } finally {
        await stores.close();
      }
    };
    if (requires) subject.framework.test(title, run);
    else subject.framework.test.skip(title, run);
  };
}
