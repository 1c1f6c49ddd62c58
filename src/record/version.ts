/**
 * A position in the authority's commit order for one key. Ordered by epoch, then sequence.
 * Never an application clock. Drawn by the authority while the key is locked (see `store/record-store.ts`).
 */
export interface Version {
  /** Raised by every change of authority. ≥ 1. */
  readonly epoch: number;
  /** From a non-transactional sequence of the authority (or its log position). Backfill uses 0. */
  readonly sequence: bigint;
}

/** Negative when a is older than b, 0 when equal, positive when newer. */
export function compareVersions(a: Version, b: Version): number {
  if (a.epoch !== b.epoch) return a.epoch - b.epoch;
  return a.sequence < b.sequence ? -1 : a.sequence > b.sequence ? 1 : 0;
}

/** `epoch.sequence`, for tokens and display. */
export function formatVersion(version: Version): string {
  return `${version.epoch}.${version.sequence}`;
}

/** The inverse of `formatVersion`; null when the text is not a version. */
export function parseVersion(text: string): Version | null {
  const match = /^(\d{1,9})\.(\d{1,19})$/.exec(text);
  return match ? { epoch: Number(match[1]), sequence: BigInt(match[2] ?? '0') } : null;
}
