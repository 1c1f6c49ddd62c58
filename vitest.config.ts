import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

const SLOW_MS = 120_000;

const alias = [
  { find: /^changeover$/, replacement: source('index.ts') },
  { find: /^changeover\/(postgres|memory|sqlite)$/, replacement: source('adapters/$1/index.ts') },
  { find: /^changeover\/testing$/, replacement: source('testing/index.ts') },
];

/** A project over one folder of test/. `server` starts the shared private PostgreSQL for the run. */
function project(name: string, options: { timeoutMs: number; server?: boolean; serial?: boolean }) {
  return {
    resolve: { alias },
    test: {
      name,
      include: [
        `test/${name}/**/*.test.ts`,
        ...(name === 'unit' ? ['test/tidy.test.ts', 'test/tidy/**/*.test.ts'] : []),
      ],
      testTimeout: options.timeoutMs,
      hookTimeout: Math.max(options.timeoutMs, 60_000),
      teardownTimeout: 30_000,
      fileParallelism: options.serial !== true,
      ...(options.server ? { globalSetup: ['./test/support/shared-postgres.ts'] } : {}),
    },
  };
}

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    passWithNoTests: true,
    projects: [
      project('unit', { timeoutMs: 10_000 }),
      project('simulation', { timeoutMs: SLOW_MS }),
      project('conformance', { timeoutMs: SLOW_MS, server: true }),
      project('integration', { timeoutMs: SLOW_MS, server: true }),
      project('kill', { timeoutMs: SLOW_MS, server: true, serial: true }),
      project('story', { timeoutMs: SLOW_MS, server: true, serial: true }),
    ],
  },
});
