// npm run bench                  lists the benchmarks
// npm run bench -- NAME [--json] runs bench/cases/NAME.ts
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Benchmark, Case } from './measure.ts';

const CASES = new URL('./cases/', import.meta.url);

function available(): readonly string[] {
  if (!existsSync(CASES)) return [];
  const names = readdirSync(CASES).filter((name) => name.endsWith('.ts'));
  return names.map((name) => name.slice(0, -'.ts'.length)).sort();
}

/** The commit, with `+` behind it when the files differ from it. */
function commit(): string {
  const cwd = fileURLToPath(new URL('..', import.meta.url));
  const git = (...args: string[]): string | undefined => {
    const result = spawnSync('git', args, { cwd, encoding: 'utf8' });
    return result.status === 0 ? result.stdout.trim() : undefined;
  };
  const hash = git('rev-parse', '--short=12', 'HEAD');
  if (hash === undefined) return 'unknown';
  return git('status', '--porcelain') ? `${hash}+` : hash;
}

function figure(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 2 : 4;
  return value.toLocaleString('en-US', { maximumFractionDigits: digits });
}

function table(cases: readonly Case[]): string {
  const head = ['case', 'ours', 'alternative', 'unit', 'ratio'];
  const rows = cases.map((one) => [
    one.case,
    figure(one.ours),
    figure(one.alternative),
    one.unit,
    one.ratio.toFixed(2),
  ]);
  const numeric = new Set([1, 2, 4]);
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return numeric.has(column) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

async function main(args: readonly string[]): Promise<number> {
  const json = args.includes('--json');
  const names = args.filter((argument) => !argument.startsWith('-'));
  const known = available();
  const [name] = names;
  if (name === undefined) {
    process.stdout.write(known.map((one) => `${one}\n`).join('') || 'no benchmarks yet\n');
    return 0;
  }
  if (names.length > 1 || !known.includes(name)) {
    process.stderr.write(`usage: npm run bench -- NAME [--json]; NAME: ${known.join(', ')}\n`);
    return 2;
  }
  const module = (await import(new URL(`${name}.ts`, CASES).href)) as { default: Benchmark };
  const say = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  const cases = await module.default.run({ say });
  const cpu = `${availableParallelism()} x ${cpus()[0]?.model.trim() ?? 'unknown'}`;
  const about = { name: module.default.name, commit: commit(), node: process.version, cpus: cpu };
  process.stdout.write(
    json
      ? `${JSON.stringify({ ...about, cases })}\n`
      : `${about.name}, commit ${about.commit}, Node ${about.node}, ${about.cpus}\n\n${table(cases)}\n`,
  );
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
