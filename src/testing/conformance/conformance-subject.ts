import type { DataRecord } from '../../record/index.ts';
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
}

/** One fact: registered as a test with stores of its own, the source as authority and the target as follower of epoch 1. */
export type Fact = (
  title: string,
  body: (stores: ConformanceStores) => Promise<void>,
  requires?: boolean,
) => void;

/** How facts of `subject` are registered. */
export function factsOf(subject: ConformanceSubject, installed = true): Fact {
  return (title, body, requires = true) => {
    const run = async (): Promise<void> => {
      const stores = await subject.open();
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
