import type { ControlStore } from '../../control/index.ts';
import type { Clock } from '../../runtime/index.ts';
import type { TestFramework } from './conformance-subject.ts';

/** Two handles on the same control store that share nothing which two processes could not share. */
export interface ControlStores {
  readonly first: ControlStore;
  readonly second: ControlStore;
  /** Closes both and removes everything. */
  close(): Promise<void>;
}

/** A control store under test. */
export interface ControlStoreSubject {
  readonly name: string;
  readonly framework: TestFramework;
  /** The clock by which the suite waits. Default: the system's. */
  readonly clock?: Clock;
  /** A fresh, empty control store for one test. */
  open(): Promise<ControlStores>;
}

/** Registers one fact: a title, and the test on a fresh control store. */
export type ControlFact = (
  title: string,
  body: (stores: ControlStores, clock: Clock) => Promise<void>,
) => void;

/** The migration that the facts speak of. */
export const migration = 'shop';
