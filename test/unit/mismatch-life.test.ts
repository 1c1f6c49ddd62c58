import { describe, expect, test } from 'vitest';
import {
  agreesNow,
  decided,
  firstLine,
  type Mismatch,
  type MismatchLine,
  seenAgain,
  seenSince,
  turnsMax,
} from '../../src/control/index.ts';

const seen = (change: Partial<Mismatch> = {}): Mismatch => ({
  collection: 'items',
  key: '["1"]',
  kind: 'different',
  class: 'unknown',
  status: 'open',
  detector: 'verify',
  differences: [{ field: 'name', expected: 'b', actual: 'a', class: 'unknown' }],
  firstSeenMs: 1,
  lastSeenMs: 1,
  rechecks: 1,
  note: '',
  ...change,
});
const explained = (line: MismatchLine): MismatchLine =>
  decided(line, {
    by: 'ada',
    atMs: 2,
    to: 'explained',
    owner: 'ada',
    ticket: 'T-1',
    expiresMs: 9,
    note: 'known',
  });

describe('what becomes of a line', () => {
  test('a line that was just made is not changed by what it was made of', () => {
    for (const status of ['suspect', 'open', 'repaired'] as const)
      expect(seenAgain(firstLine(seen({ status })), seen({ status }))).toEqual(
        firstLine(seen({ status })),
      );
  });

  test('a line that is seen again by a host whose clock is behind has been seen since', () => {
    for (const status of ['suspect', 'open'] as const) {
      const line = firstLine(seen({ status, lastSeenMs: 100 }));
      const again = seenAgain(line, seen({ status: 'suspect', lastSeenMs: 95 }));
      expect(seenSince(again, { seenMs: line.lastSeenMs })).toBe(true);
    }
  });

  test('a detector can neither explain nor investigate', () => {
    expect(firstLine(seen({ status: 'explained' })).status).toBe('open');
    expect(firstLine(seen({ status: 'recurring' })).status).toBe('open');
  });

  test('a follower that has what an earlier mismatch asked for is stale', () => {
    const repaired = seenAgain(firstLine(seen()), seen({ status: 'repaired' }));
    const back = seen({ differences: [{ field: 'name', expected: 'c', actual: 'b' }] });
    expect(seenAgain(repaired, back)).toMatchObject({ status: 'recurring', class: 'stale' });
    const other = seen({ differences: [{ field: 'name', expected: 'c', actual: 'x' }] });
    expect(seenAgain(repaired, other).class).toBe('unknown');
  });

  test('an explained line that is suspected in another field waits for its recheck, then comes back or recurs', () => {
    const line = explained(firstLine(seen()));
    const other = [{ field: 'city', expected: 'b', actual: 'a' }];
    const doubted = seenAgain(line, seen({ status: 'suspect', differences: other }));
    expect(doubted).toMatchObject({ status: 'suspect', before: 'explained', ticket: 'T-1' });
    expect(seenAgain(doubted, seen())).toMatchObject({ status: 'explained', note: 'known' });
    const confirmed = seen({ differences: other });
    expect(seenAgain(doubted, confirmed)).toMatchObject({ status: 'recurring', ticket: 'T-1' });
    expect(agreesNow(doubted)).toBeNull();
  });

  test('what recurs does not become explained by looking as it did', () => {
    const changed = seen({ differences: [{ field: 'city', expected: 'b', actual: 'a' }] });
    const recurring = seenAgain(explained(firstLine(seen())), changed);
    expect(seenAgain(recurring, seen()).status).toBe('recurring');
  });

  test('the history of a line is bounded', () => {
    let line = firstLine(seen());
    for (let turn = 0; turn < 50; turn++) {
      line = seenAgain(line, seen({ status: 'repaired', lastSeenMs: turn + 1 }));
      line = seenAgain(line, seen({ lastSeenMs: turn + 1 }));
    }
    expect(line.turns).toHaveLength(turnsMax);
  });
});
