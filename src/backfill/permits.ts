/** At most `count` holders at a time, first come first served. */
export interface Permits {
  with<T>(work: () => Promise<T>): Promise<T>;
}

export function createPermits(count: number): Permits {
  let free = count;
  const waiting: (() => void)[] = [];
  const enter = async (): Promise<void> => {
    if (free > 0) {
      free -= 1;
      return;
    }
    await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const leave = (): void => {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  };
  return {
    async with(work) {
      await enter();
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
