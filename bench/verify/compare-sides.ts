// Compares two stores with the real engine, in a process of its own so that its CPU can be told. argv: ComparedSides as JSON. Prints one JSON line: Compared.
import { openNarrowing } from '../../src/verify/narrowing.ts';
import { persistently } from '../../src/verify/pages.ts';
import { verifyScope } from '../../src/verify/verify-scope.ts';
import { type Compared, type ComparedSides, comparedState, openSides } from './stores.ts';

const sides = JSON.parse(process.argv[2] ?? '{}') as ComparedSides;
const opened = await openSides(sides);
const signal = new AbortController().signal;
const scope = verifyScope(opened, sides.table, { currentState: () => comparedState }, signal);
const { source, target } = opened.stores;
const started = performance.now();
const before = process.cpuUsage();
const narrowing = await openNarrowing(scope, {
  collection: sides.table,
  authority: source.records,
  follower: target.records,
  ask: (work) => persistently(scope, work),
});
let compared = 0;
const differing: string[] = [];
for await (const step of narrowing.walk({ after: null, until: null })) {
  compared += step.compared;
  differing.push(
    ...step.differing.map(({ pair, difference }) => `${difference.kind} ${pair.key.join('/')}`),
  );
}
const ms = performance.now() - started;
const { user, system } = process.cpuUsage(before);
const { way, why } = narrowing;
const result: Compared = { ms, cpuSeconds: (user + system) / 1e6, compared, differing, way, why };
await opened.close();
process.stdout.write(`${JSON.stringify(result)}\n`);
