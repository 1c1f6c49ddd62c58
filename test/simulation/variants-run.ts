import { brokenVariants } from './broken-variants.ts';
import { simulate } from './simulate.ts';

/** `npx tsx test/simulation/variants-run.ts [NAME] [SEEDS]`: after how many seeds each defect shows, and as what. */
const [name = '', seeds = '150'] = process.argv.slice(2);
for (const variant of brokenVariants) {
  if (!variant.name.includes(name)) continue;
  const began = performance.now();
  let found = 'NOT FOUND';
  for (let seed = 1; seed <= Number(seeds); seed++) {
    const { violation } = await simulate(seed, variant.defect);
    if (violation === null) continue;
    found = `seed ${seed}: ${violation.message.slice(0, 130)}`;
    break;
  }
  console.log(`${variant.name}\n    ${found} (${Math.round(performance.now() - began)} ms)`);
}
