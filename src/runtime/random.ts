import { randomBytes } from 'node:crypto';

/** Chance. Seeded in simulation. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** 12 random bytes as hex; unique for all practical purposes. */
  id(): string;
}

export const systemRandom: Random = {
  next: () => Math.random(),
  id: () => randomBytes(12).toString('hex'),
};

/** A small seeded generator (mulberry32, Tommy Ettinger, public domain). Same seed, same sequence. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const word = (): string =>
    Math.floor(next() * 4294967296)
      .toString(16)
      .padStart(8, '0');
  return { next, id: () => word() + word() + word() };
}
