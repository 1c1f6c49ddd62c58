/**
 * What a careful engineer writes by hand around two stores: a table of stages, try/catch, latencies, counters, and in the shadow stages a
 * comparison off the caller's path. No holds, no acknowledgement, no tokens, no fence: those have no equivalent by hand. This is the
 * alternative that `overhead` measures against, so it is written to be fast.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Phase, Side } from '../../../src/migration/index.ts';

interface Stage {
  readonly writes: Side;
  readonly reads: Side | 'dial';
  readonly shadow: boolean;
}

const stages: Readonly<Record<Phase, Stage>> = {
  off: { writes: 'source', reads: 'source', shadow: false },
  'shadow-write': { writes: 'source', reads: 'source', shadow: false },
  'dual-write': { writes: 'source', reads: 'source', shadow: false },
  backfill: { writes: 'source', reads: 'source', shadow: false },
  'shadow-read': { writes: 'source', reads: 'source', shadow: true },
  'read-switch': { writes: 'source', reads: 'dial', shadow: true },
  'write-switch': { writes: 'target', reads: 'target', shadow: true },
  retired: { writes: 'target', reads: 'target', shadow: false },
};

type Closures<T> = Readonly<Record<Side, () => Promise<T>>>;

const boundsMs = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000];

class Series {
  ok = 0;
  failed = 0;
  readonly buckets = new Array<number>(boundsMs.length + 1).fill(0);
  sumMs = 0;

  observe(ms: number): void {
    let at = 0;
    while (at < boundsMs.length && ms > (boundsMs[at] ?? 0)) at++;
    this.buckets[at] = (this.buckets[at] ?? 0) + 1;
    this.sumMs += ms;
  }
}

export class ByHand {
  phase: Phase = 'off';
  dialBasisPoints = 0;
  readonly #series = new Map<string, Series>();
  matched = 0;
  different = 0;
  shed = 0;
  #shadowing = 0;

  async read<T>(name: string, closures: Closures<T>, routingKey: string): Promise<T> {
    const stage = stages[this.phase];
    const side = stage.reads === 'dial' ? this.#dialled(routingKey) : stage.reads;
    const series = this.#seriesOf(`read ${name} ${side}`);
    const started = performance.now();
    try {
      const answer = await closures[side]();
      series.ok++;
      series.observe(performance.now() - started);
      if (stage.shadow) this.#compare(closures[side === 'source' ? 'target' : 'source'], answer);
      return answer;
    } catch (error) {
      series.failed++;
      series.observe(performance.now() - started);
      throw error;
    }
  }

  async write<T>(name: string, closures: Closures<T>): Promise<T> {
    const side = stages[this.phase].writes;
    const series = this.#seriesOf(`write ${name} ${side}`);
    const started = performance.now();
    try {
      const answer = await closures[side]();
      series.ok++;
      series.observe(performance.now() - started);
      return answer;
    } catch (error) {
      series.failed++;
      series.observe(performance.now() - started);
      throw error;
    }
  }

  #compare<T>(other: () => Promise<T>, answer: T): void {
    if (this.#shadowing >= 32) {
      this.shed++;
      return;
    }
    this.#shadowing++;
    // Callers change what they are given.
    const served = structuredClone(answer);
    setImmediate(() => void this.#compareNow(other, served));
  }

  async #compareNow<T>(other: () => Promise<T>, served: T): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error('late')), 1000);
        timer.unref();
      });
      const shadow = await Promise.race([other(), late]);
      if (isDeepStrictEqual(served, shadow)) this.matched++;
      else this.different++;
    } catch {
      this.different++;
    } finally {
      clearTimeout(timer);
      this.#shadowing--;
    }
  }

  #seriesOf(name: string): Series {
    let series = this.#series.get(name);
    if (!series) this.#series.set(name, (series = new Series()));
    return series;
  }

  #dialled(routingKey: string): Side {
    let hash = 0x811c9dc5;
    for (let at = 0; at < routingKey.length; at++)
      hash = Math.imul(hash ^ routingKey.charCodeAt(at), 0x01000193);
    return (hash >>> 0) % 10_000 < this.dialBasisPoints ? 'target' : 'source';
  }
}
