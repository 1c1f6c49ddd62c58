import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** `changeover run` as a process of its own; the returned function ends it in order. */
export function startWorkerProcess(folder: string): () => Promise<void> {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), program, 'run'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const gone = once(child, 'exit');
  return async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await gone;
    clearTimeout(timer);
  };
}
