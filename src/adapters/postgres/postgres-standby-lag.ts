/** A standby as the primary sees it. */
export interface StandbyPosition {
  /** Replayed up to here; bytes of WAL since the beginning. */
  readonly replayed: bigint;
  /** The server's own measurement (`replay_lag`); null: it has none. */
  readonly measuredMs: number | null;
}

/** Positions that are remembered; beyond it every second one is dropped, and ages between them are a little too small. */
const SAMPLES_MAX = 1_024;

/**
 * The lag of standbys in time. The server's own `replay_lag` is null when nothing was written for a while, and stays what it was when a standby stops
 * replaying or answering: just then it says that all is well. So the positions of the primary are remembered as they are seen, and a standby
 * is as late as the first of them that it has not replayed. Nothing here reads a clock of another host.
 */
export interface StandbyLag {
  /** The lag of the slowest, milliseconds; null: there is none. `current`: position of the primary, not older than those of the standbys. */
  observe(nowMs: number, current: bigint, standbys: readonly StandbyPosition[]): number | null;
}

export function createStandbyLag(): StandbyLag {
  let samples: readonly { readonly position: bigint; readonly atMs: number }[] = [];
  return {
    observe(nowMs, current, standbys) {
      const newest = samples.at(-1);
      // Positions went back: another server answers (failover, restore), and what was remembered is not about it.
      if (newest && current < newest.position) samples = [];
      if (current !== samples.at(-1)?.position)
        samples = [...samples, { position: current, atMs: nowMs }];
      if (standbys.length === 0) return null;
      const lags = standbys.map(({ replayed, measuredMs }) => {
        if (replayed >= current) return 0;
        const missed = samples.find(({ position }) => position > replayed);
        return Math.max(measuredMs ?? 0, missed ? nowMs - missed.atMs : 0);
      });
      const slowest = standbys.reduce((a, b) => (a.replayed < b.replayed ? a : b)).replayed;
      samples = samples.filter(
        ({ position }, index) => position > slowest || index === samples.length - 1,
      );
      // The oldest stays: it says how late the slowest is.
      if (samples.length > SAMPLES_MAX) samples = samples.filter((_, index) => index % 2 === 0);
      return Math.max(...lags);
    },
  };
}
