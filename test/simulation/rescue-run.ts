import { brokenRescues } from './broken-rescue.ts';
import { simulateRescue } from './rescue-world.ts';

/** `npx tsx test/simulation/rescue-run.ts [SEEDS] [FROM] [VARIANT]`: rescues by seed; with one seed, what happened in it. */
const [seeds = '100', from = '1', name = ''] = process.argv.slice(2);
const variant = brokenRescues.find((one) => name !== '' && one.name.includes(name));
let lost = 0;
const statuses: Record<string, number> = {};
for (let seed = Number(from); seed < Number(from) + Number(seeds); seed++) {
  const result = await simulateRescue(seed, variant?.defect ?? {});
  lost += result.lost;
  for (const [status, count] of Object.entries(result.statuses))
    statuses[status] = (statuses[status] ?? 0) + count;
  if (seeds === '1') console.log(result.lastLines(400, process.argv[5]).join('\n'));
  if (result.violation === null) continue;
  console.log(result.lastLines(50, result.violation.subject).join('\n'));
  console.log(`seed ${seed} (${JSON.stringify(result.plan)}): ${result.violation.message}`);
  process.exitCode = 1;
  break;
}
console.log(`${lost} records were left behind: ${JSON.stringify(statuses)}`);
