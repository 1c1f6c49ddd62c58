import { expect, test } from 'vitest';
import { baselineOf, originOf, originText, recordBaseline } from '../../src/verify/index.ts';
import { openOf, verify, verifyFixtures } from '../support/verify-fixture.ts';

const fixtureWith = verifyFixtures();
const tick = () => new Promise((resolve) => setTimeout(resolve, 5));

test('what differs after a clean proof is drift, and says behind which proof', async () => {
  const fixture = await fixtureWith(20);
  const baseline = await recordBaseline(fixture.context, await verify(fixture));
  expect(baseline).toMatchObject({ collection: 'items', records: 20, kind: 'recheck' });
  await tick();
  await fixture.foreign.target.put(['000003'], { id: '000003', name: 'wrong' });
  await verify(fixture);
  const [line] = await fixture.context.control.mismatches.list('fixture', { limit: 9 });
  const found = await baselineOf(fixture.context, 'items', fixture.state().generation);
  const origin = originOf(line!, found);
  expect(origin).toMatchObject({ origin: 'drift', baseline: { records: 20 } });
  expect(originText(origin, line!)).toMatch(
    /^drift after the clean proof of 20\d\d-.* \(20 records\)/,
  );
});

test('without a clean proof it may never have been copied', async () => {
  const fixture = await fixtureWith(20);
  await fixture.foreign.target.delete(['000003']);
  const report = await verify(fixture);
  expect(await recordBaseline(fixture.context, report)).toBeNull();
  const [line] = await fixture.context.control.mismatches.list('fixture', { limit: 9 });
  const origin = originOf(line!, await baselineOf(fixture.context, 'items', 1));
  expect(originText(origin, line!)).toMatch(/never proven: .* or never copied/);
});

test('a part is no baseline, and a verification with findings keeps the last one', async () => {
  const fixture = await fixtureWith(20);
  const { generation } = fixture.state();
  expect(await recordBaseline(fixture.context, await verify(fixture, { sample: 0.5 }))).toBeNull();
  const first = await recordBaseline(fixture.context, await verify(fixture));
  await fixture.foreign.target.delete(['000003']);
  await recordBaseline(fixture.context, await verify(fixture));
  expect(await openOf(fixture)).toHaveLength(1);
  expect(await baselineOf(fixture.context, 'items', generation)).toEqual(first);
  // Another attempt of the migration begins with nothing.
  expect(await baselineOf(fixture.context, 'items', generation + 1)).toBeNull();
});
