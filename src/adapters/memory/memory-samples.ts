import { addSamples, type Sample, type SampleLedger } from '../../control/index.ts';
import type { MemoryControl } from './memory-control-store.ts';

/** Measurements per minute, of every process of a migration. */
export function createMemorySamples(
  control: MemoryControl,
  call: <T>(label: string, run: () => T) => Promise<T>,
): SampleLedger {
  const idOf = ({ series, side, minute }: Sample): string => `${minute} ${series} ${side}`;
  const before = (a: Sample, b: Sample): number =>
    a.minute - b.minute || compare(a.series, b.series) || compare(a.side, b.side);
  return {
    add: (migration, samples) =>
      call('samples/add', () => {
        const rows = control.of(migration).samples;
        for (const sample of samples) {
          const old = rows.get(idOf(sample));
          rows.set(idOf(sample), old ? addSamples(old, sample) : { ...sample });
        }
      }),
    since: (migration, fromMinute) =>
      call('samples/since', () =>
        [...control.of(migration).samples.values()]
          .filter(({ minute }) => minute >= fromMinute)
          .sort(before),
      ),
    prune: (migration, beforeMinute) =>
      call('samples/prune', () => {
        const rows = control.of(migration).samples;
        for (const [id, { minute }] of rows) if (minute < beforeMinute) rows.delete(id);
      }),
  };
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
