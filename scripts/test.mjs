// `npm test`: everything; the last line is the count. `npm run check` (--quick): what needs no
// database. `npm test -- door` runs the test files whose path contains `door`; further arguments
// go to vitest.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ensureSystemMariadb, ensureSystemPostgres } from './database-servers.mjs';
import { node24 } from './node24.mjs';
import { ensureInstall, environment, root } from './with-install.mjs';

const MINUTE_MS = 60_000;
const STEP_TIMEOUT_MS = 20 * MINUTE_MS;
const MESSAGE_CHARACTERS = 300;
const PROJECTS = ['unit', 'simulation', 'conformance', 'integration', 'kill', 'story'];
const NEEDS_NO_SERVER = ['unit', 'simulation'];

const args = process.argv.slice(2);
const quick = args.includes('--quick');
const vitestArgs = args.filter((argument) => argument !== '--quick');
const total = { passed: 0, failed: 0, skipped: 0 };
const failures = [];
let running;

function say(line) {
  process.stdout.write(`-- ${line}\n`);
}

/** Runs one program to its end, with a limit; resolves to its exit code. */
function run(command, commandArgs, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, commandArgs, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: environment(env),
    });
    running = child;
    const limit = setTimeout(() => {
      say(`stopped after ${STEP_TIMEOUT_MS / MINUTE_MS} minutes`);
      child.kill('SIGTERM');
      setTimeout(() => child.kill('SIGKILL'), 10_000).unref();
    }, STEP_TIMEOUT_MS);
    const end = (code) => {
      clearTimeout(limit);
      running = undefined;
      resolve(code);
    };
    child.on('error', (error) => {
      process.stderr.write(`${command} could not be started: ${error.message}\n`);
      end(1);
    });
    child.on('exit', (code) => end(code ?? 1));
  });
}

function count(title, passed, failed, skipped = 0) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  if (failed > 0) failures.push(`${title}: ${failed} failed`);
}

/** A step that is one test: its exit code says whether it passed. */
async function step(title, program, ...programArgs) {
  say(title);
  const code = await run(process.execPath, [join(root, 'node_modules', program), ...programArgs]);
  count(title, code === 0 ? 1 : 0, code === 0 ? 0 : 1);
}

/** Some vitest projects as one run, counted from vitest's own report. */
async function suite(title, projects, { node = process.execPath, env = {}, extra = [] } = {}) {
  say(title);
  mkdirSync(join(root, '.cache'), { recursive: true });
  const report = join(root, '.cache', `report-${process.pid}.json`);
  rmSync(report, { force: true });
  const code = await run(
    node,
    [
      join(root, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      ...projects.flatMap((name) => ['--project', name]),
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...extra,
    ],
    env,
  );
  if (!existsSync(report)) return count(`${title} (no report)`, 0, 1);
  const result = JSON.parse(readFileSync(report, 'utf8'));
  rmSync(report, { force: true });
  // A file that could not be loaded, or whose hooks failed, has no failed test of its own.
  const broken = result.testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed'),
  ).length;
  const failed = result.numFailedTests + broken;
  const skipped = result.numPendingTests + result.numTodoTests;
  // Nothing failed and yet not a success: an error outside of any test.
  const unseen = code !== 0 && failed === 0 ? 1 : 0;
  count(title, result.numPassedTests, failed + unseen, skipped);
  failures.push(...result.testResults.flatMap(failedTests));
}

/** The failed tests of one file with the first line of why, so that the end of a long output names them. */
function failedTests(file) {
  if (file.status !== 'failed') return [];
  const name = relative(root, file.name);
  const failed = file.assertionResults.filter(({ status }) => status === 'failed');
  if (failed.length === 0) return [`  ${name}: ${firstLine(file.message)}`];
  return failed.map((test) => `  ${name}: ${test.fullName}: ${firstLine(test.failureMessages[0])}`);
}

function firstLine(text = '') {
  return text.split('\n', 1)[0].slice(0, MESSAGE_CHARACTERS);
}

async function everything() {
  await step('types', 'typescript/bin/tsc', '--noEmit', '-p', 'tsconfig.json');
  await step('lint and format', '@biomejs/biome/bin/biome', 'check', '--error-on-warnings');
  if (quick) {
    const env = { CHANGEOVER_SIMULATION: 'short' };
    return suite('tidy, unit, short simulation', NEEDS_NO_SERVER, { env });
  }
  for (const name of PROJECTS) await suite(name, [name]);
  const program = Number.parseInt(process.versions.node, 10) < 24 ? node24(say) : undefined;
  if (program === undefined) return;
  const env = { CHANGEOVER_SIMULATION: 'short' };
  await suite('unit and short simulation on Node 24', NEEDS_NO_SERVER, { node: program, env });
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    running?.kill(signal);
    process.exit(130);
  });
}

ensureInstall();
if (!quick) {
  ensureSystemPostgres(say);
  ensureSystemMariadb(say);
}
if (vitestArgs.length > 0) {
  await suite(`files matching ${vitestArgs.join(' ')}`, [], { extra: vitestArgs });
} else {
  await everything();
}
for (const line of failures) process.stdout.write(`FAILED ${line}\n`);
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
