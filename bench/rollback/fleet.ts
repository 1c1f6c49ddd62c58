import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import type { Addresses } from './migration.ts';

/** `atMs`: the kernel's monotonic clock. */
export type InstanceMessage =
  | { readonly type: 'ready'; readonly rssBytes: number }
  | { readonly type: 'state' | 'flag'; readonly version: number; readonly atMs: number };

export type InstanceCommand =
  | { readonly type: 'poll'; readonly everyMs: number }
  | { readonly type: 'stop-polling' };

const startsAtOnce = 4;
const seenDeadlineMs = 30_000;

/** Processes with a router each. */
export interface BenchFleet {
  readonly pids: readonly number[];
  readonly rssBytes: readonly number[];
  send(command: InstanceCommand): void;
  /** When each instance came to go by this version or a later one. */
  seen(type: 'state' | 'flag', version: number): Promise<readonly number[]>;
  stop(): Promise<void>;
}

/**
 * Programs of the repository in one JavaScript file each, as an application would have been built: 50 processes that translate 150 files each would take minutes.
 * Names → paths.
 */
export async function bundle<Name extends string>(
  programs: Readonly<Record<Name, URL>>,
): Promise<Readonly<Record<Name, string>>> {
  const outDir = fileURLToPath(new URL('../../.cache/bench-rollback/', import.meta.url));
  const input = Object.fromEntries(
    Object.entries<URL>(programs).map(([name, url]) => [name, fileURLToPath(url)]),
  );
  await build({
    configFile: false,
    logLevel: 'error',
    root: fileURLToPath(new URL('../../', import.meta.url)),
    build: {
      ssr: true,
      outDir,
      emptyOutDir: true,
      target: 'node20',
      rollupOptions: { input, output: { entryFileNames: '[name].js' } },
    },
  });
  return Object.fromEntries(
    Object.keys(programs).map((name) => [name, `${outDir}${name}.js`]),
  ) as Record<Name, string>;
}

/** Starts real processes, a few at a time, and waits until each has registered. */
export async function startFleet(
  program: string,
  size: number,
  addresses: Addresses,
): Promise<BenchFleet> {
  const children: ChildProcess[] = [];
  const rssBytes: number[] = [];
  const news: Extract<InstanceMessage, { version: number }>[][] = [];
  let wake = (): void => {};
  const startOne = async (at: number): Promise<void> => {
    const child = fork(program, [JSON.stringify({ ...addresses, instance: `instance ${at}` })], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    children[at] = child;
    const heard: Extract<InstanceMessage, { version: number }>[] = [];
    news[at] = heard;
    await new Promise<void>((resolve, reject) => {
      child.once('exit', (code, signal) =>
        reject(new Error(`instance ${at} ended: ${signal ?? code}`)),
      );
      child.on('message', (message: InstanceMessage) => {
        if (message.type === 'ready') {
          rssBytes[at] = message.rssBytes;
          resolve();
        } else {
          heard.push(message);
          wake();
        }
      });
    });
  };
  const waiting = Array.from({ length: size }, (_, at) => at);
  const lane = async (): Promise<void> => {
    for (let at = waiting.shift(); at !== undefined; at = waiting.shift()) await startOne(at);
  };
  await Promise.all(Array.from({ length: startsAtOnce }, lane));
  return {
    pids: children.map(({ pid }) => pid ?? 0),
    rssBytes,
    send(command) {
      for (const child of children) child.send(command);
    },
    async seen(type, version) {
      const until = performance.now() + seenDeadlineMs;
      for (;;) {
        const first = news.map((heard) =>
          heard.find((one) => one.type === type && one.version >= version),
        );
        const known = first.filter((one) => one !== undefined);
        if (known.length === size) return known.map(({ atMs }) => atMs);
        if (performance.now() > until)
          throw new Error(`${size - known.length} instances never saw ${type} ${version}`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 1_000);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
    async stop() {
      await Promise.all(
        children.map(async (child) => {
          if (child.exitCode !== null || child.signalCode !== null) return;
          const gone = once(child, 'exit');
          child.kill('SIGKILL');
          await gone;
        }),
      );
    },
  };
}
