import { simulate } from './simulate.ts';

/** `npm run sim -- [--seeds 2000] [--seed S] [--from 1] [--lines 60] [--about TEXT]` */
function numberOption(name: string, fallback: number): number {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}

function textOption(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : process.argv[at + 1];
}

const one = process.argv.includes('--seed');
const from = one ? numberOption('seed', 1) : numberOption('from', 1);
const seeds = one ? 1 : numberOption('seeds', 200);
const began = performance.now();
let writes = 0;
let events = 0;
let virtualMs = 0;

for (let seed = from; seed < from + seeds; seed++) {
  const result = await simulate(seed);
  writes += result.writes;
  events += result.events;
  virtualMs += result.virtualMs;
  if (result.violation || one) {
    const lines = result.lastLines(numberOption('lines', 60), textOption('about'));
    console.log(lines.join('\n'));
    console.log(
      `seed ${seed}: ${result.digest}, ${result.events} events, ${Math.round(result.virtualMs)} ms, ${result.phase}`,
    );
  }
  if (result.violation) {
    console.log(`\nseed ${seed}: ${result.violation.message}`);
    console.log(
      `again: npm run sim -- --seed ${seed} --lines 400 --about '${result.violation.subject}'`,
    );
    process.exit(1);
  }
  const done = seed - from + 1;
  if (done % 100 === 0) {
    const seconds = Math.round((performance.now() - began) / 1000);
    console.log(`${done} of ${seeds} seeds, ${seconds} s, ${writes} writes, ${events} events`);
  }
}
const seconds = ((performance.now() - began) / 1000).toFixed(1);
console.log(
  `${seeds} seeds clean in ${seconds} s: ${writes} writes, ${events} events, ${Math.round(virtualMs / 1000)} s of virtual time`,
);
