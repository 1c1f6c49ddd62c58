import { otherSide, type Phase, type Side } from './phase.ts';

/** What a phase means for one operation. The whole routing of the library is this table. */
export interface Routing {
  /** The store whose commit decides that a write happened. */
  readonly authority: Side;
  /** `none`: nobody follows. `discard`: the follower's transaction is rolled back (load and schema test). */
  readonly follow: 'none' | 'discard' | 'apply';
  /** `authority`: all reads there. `dial`: the dialled share of routing keys reads the target. */
  readonly reads: 'authority' | 'dial';
  /** Reads are repeated on the other store and compared, off the caller's path. */
  readonly shadowReads: boolean;
}

/** SPEC.md, table R. */
export const routingTable: Readonly<Record<Phase, Routing>> = {
  off: { authority: 'source', follow: 'none', reads: 'authority', shadowReads: false },
  'shadow-write': {
    authority: 'source',
    follow: 'discard',
    reads: 'authority',
    shadowReads: false,
  },
  'dual-write': { authority: 'source', follow: 'apply', reads: 'authority', shadowReads: false },
  backfill: { authority: 'source', follow: 'apply', reads: 'authority', shadowReads: false },
  'shadow-read': { authority: 'source', follow: 'apply', reads: 'authority', shadowReads: true },
  'read-switch': { authority: 'source', follow: 'apply', reads: 'dial', shadowReads: true },
  'write-switch': { authority: 'target', follow: 'apply', reads: 'authority', shadowReads: true },
  retired: { authority: 'target', follow: 'none', reads: 'authority', shadowReads: false },
};

/** The store that decides in this phase. */
export function authorityOf(phase: Phase): Side {
  return routingTable[phase].authority;
}

/** The other store, whether or not it is being written to. */
export function followerOf(phase: Phase): Side {
  return otherSide[routingTable[phase].authority];
}
