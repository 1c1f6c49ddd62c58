#!/usr/bin/env node
import { systemClock } from '../runtime/index.ts';
import { runCli } from './program.ts';
import { processIo } from './terminal-io.ts';

/** A socket that a hung server does not let go must not keep a finished command alive. */
const lingerMs = 3_000;

// `changeover status | head -1`: the reader is gone, and that is no defect.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await runCli(process.argv.slice(2), processIo());
systemClock.schedule(lingerMs, () => process.exit());
