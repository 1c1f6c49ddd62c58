// Compiles src/ to dist/ with the TypeScript compiler, only when something changed.
// Builds beside dist and swaps the folders, so that a failed build leaves the old one whole.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureInstall, root, withLock } from './with-install.mjs';

const STAMP = '.build-stamp';
const INPUTS = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];

function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function fingerprint() {
  const hash = createHash('sha256');
  const paths = [...INPUTS.map((name) => join(root, name)), ...sourceFiles(join(root, 'src'))];
  for (const path of paths) {
    const content = readFileSync(path);
    hash.update(`${path.slice(root.length)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

function isFresh(wanted) {
  const path = join(root, 'dist', STAMP);
  return existsSync(path) && readFileSync(path, 'utf8') === wanted;
}

/** Brings dist/ up to date with src/; ends the process with a message when it does not compile. */
export function ensureBuilt() {
  if (!existsSync(join(root, 'src'))) {
    process.stderr.write('changeover: there is no src/ to build.\n');
    process.exit(1);
  }
  if (isFresh(fingerprint())) return;
  const code = withLock('build', build);
  if (code !== 0) process.exit(code);
}

function build() {
  const wanted = fingerprint();
  if (isFresh(wanted)) return 0;
  process.stderr.write('changeover: building dist ...\n');
  // A sibling of dist: the relative paths in the source maps have to stay right.
  const outDir = join(root, `dist.${process.pid}`);
  try {
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const args = [compiler, '-p', join(root, 'tsconfig.build.json'), '--outDir', outDir];
    const result = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] });
    if (result.status !== 0) {
      process.stderr.write('changeover: the build failed; see the lines above.\n');
      return result.status ?? 1;
    }
    copyAssets(outDir);
    const main = join(outDir, 'cli', 'main.js');
    if (existsSync(main)) chmodSync(main, 0o755);
    writeFileSync(join(outDir, STAMP), wanted);
    rmSync(join(root, 'dist'), { recursive: true, force: true });
    renameSync(outDir, join(root, 'dist'));
    return 0;
  } finally {
    rmSync(outDir, { recursive: true, force: true });
  }
}

/** What the compiler does not carry over: style sheets, HTML, SQL, browser scripts. */
function copyAssets(outDir) {
  const src = join(root, 'src');
  for (const path of sourceFiles(src)) {
    if (/\.(ts|md)$/.test(path)) continue;
    cpSync(path, join(outDir, path.slice(src.length + 1)));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  ensureInstall();
  ensureBuilt();
}
