import { runDemo } from './story.ts';
import { sabotageFrom, storyDefaults } from './story-options.ts';

const a = process.argv.slice(2);
const n = (f: string, d: number) => {
  const i = a.indexOf(f);
  return i < 0 ? d : Number(a[i + 1]);
};
process.exitCode = await runDemo(
  {
    ...storyDefaults,
    json: a.includes('--json'),
    keep: a.includes('--keep'),
    rows: n('--rows', 200000),
    pace: n('--pace', 1),
    sabotage: sabotageFrom(process.env),
  },
  process,
);
