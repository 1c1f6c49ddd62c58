import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const program = fileURLToPath(new URL('../support/held-write.ts', import.meta.url));

/** Found by hand: pools let a process go when they are idle, so nothing but the wait itself can keep it. */
test('a program does not end while its write is held, even when it has nothing else to do', async () => {
  const args = ['--import', import.meta.resolve('tsx'), program];
  const { code, stdout } = await new Promise<{ code: number; stdout: string }>((resolve) => {
    execFile(process.execPath, args, (error, out) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout: out }),
    );
  });
  expect([code, stdout.trim()]).toEqual([0, 'HOLD_EXPIRED']);
});
