import assert from 'node:assert/strict';
import type { Mismatch, MismatchDecision, MismatchLine } from '../../control/index.ts';
import type { Clock } from '../../runtime/index.ts';
import { type ControlFact, migration } from './control-store-subject.ts';
import { counts } from './evidence-facts.ts';

const mismatch = (key: string, change: Partial<Mismatch> = {}): Mismatch => ({
  collection: 'customers',
  key: JSON.stringify([key]),
  kind: 'different',
  status: 'suspect',
  detector: 'verify',
  differences: [],
  firstSeenMs: 1_000,
  lastSeenMs: 1_000,
  rechecks: 0,
  note: '',
  ...change,
});

/** The ledger of keys that differ. */
export function mismatchFacts(fact: ControlFact): void {
  fact('thousands of evidence rows and mismatches fit into one call', async ({ first }) => {
    const many = Array.from({ length: 2_500 }, (_, index) => index);
    await first.evidence.add(
      migration,
      many.map((minute) => counts(minute, { compared: 1 })),
    );
    assert.equal((await first.evidence.since(migration, 0)).length, 2_500);
    await first.mismatches.record(
      migration,
      many.map((key) => mismatch(String(key))),
    );
    assert.equal(await first.mismatches.count(migration, 'suspect'), 2_500);
    await first.mismatches.drop(
      migration,
      many.slice(1).map((key) => mismatch(String(key))),
    );
    assert.equal(await first.mismatches.count(migration, 'suspect'), 1);
    await first.evidence.add(migration, []);
    await first.mismatches.record(migration, []);
    await first.mismatches.drop(migration, []);
  });

  fact('a mismatch keeps what saw it first, and takes what was seen last', async (stores) => {
    const differences: Mismatch['differences'] = [
      { field: 'name', expected: 'Ärger "quoted" \u0000 🎬', actual: null, class: 'field-missing' },
    ];
    await stores.first.mismatches.record(migration, [mismatch('1'), mismatch('2')]);
    const seen = mismatch('1', {
      status: 'open',
      class: 'field-missing',
      detector: 'shadow-read',
      differences,
      versions: { authority: '1.7', follower: null },
      firstSeenMs: 2_000,
      lastSeenMs: 2_000,
      rechecks: 3,
      note: 'seen again',
    });
    await stores.second.mismatches.record(migration, [seen]);
    const open = await stores.first.mismatches.list(migration, { status: 'open', limit: 10 });
    const line: MismatchLine = {
      ...seen,
      class: 'field-missing',
      detector: 'verify',
      firstSeenMs: 1_000,
      owner: null,
      ticket: null,
      expiresMs: null,
      explainedAs: null,
      before: null,
      turns: [
        { atMs: 1_000, status: 'suspect', by: 'verify' },
        { atMs: 2_000, status: 'open', by: 'shadow-read' },
      ],
    };
    assert.deepEqual(open, [line]);
    assert.deepEqual(await stores.second.mismatches.find(migration, seen), line);
    assert.equal(await stores.second.mismatches.count(migration, 'open'), 1);
    assert.equal(await stores.second.mismatches.count(migration, 'suspect'), 1);
    assert.equal((await stores.first.mismatches.list(migration, { limit: 1 })).length, 1);
    assert.equal((await stores.first.mismatches.list(migration, { limit: 10 })).length, 2);
    await stores.first.mismatches.drop(migration, open);
    assert.equal(await stores.second.mismatches.count(migration, 'open'), 0);
    assert.equal(await stores.second.mismatches.find(migration, seen), null);
  });

  fact('a suspicion takes back neither what is open nor what is explained', async (stores) => {
    const { mismatches } = stores.first;
    const both = [mismatch('1', { status: 'open' }), mismatch('2', { status: 'open' })];
    await mismatches.record(migration, both);
    await mismatches.decide(migration, both.slice(1), explanation());
    await stores.second.mismatches.record(migration, [mismatch('1'), mismatch('2')]);
    assert.deepEqual(await statuses(stores.second.mismatches), ['open', 'explained']);
  });

  explanationFacts(fact);
  searchFacts(fact);
}

const explanation = (change: Partial<MismatchDecision> = {}): MismatchDecision =>
  ({
    by: 'ada@here',
    atMs: 5_000,
    to: 'explained',
    owner: 'ada',
    ticket: 'OPS-1',
    expiresMs: 9_000_000_000_000,
    note: 'known',
    ...change,
  }) as MismatchDecision;

const statuses = async (ledger: ControlMismatches): Promise<readonly string[]> =>
  (await ledger.list(migration, { limit: 100 })).map(({ status }) => status);
type ControlMismatches = Pick<
  Parameters<Parameters<ControlFact>[1]>[0]['first']['mismatches'],
  'list'
>;

function explanationFacts(fact: ControlFact): void {
  const field = (name: string): Mismatch['differences'] => [
    { field: name, expected: 'a', actual: 'A', class: 'collation' },
  ];
  const open = (key: string, change: Partial<Mismatch> = {}): Mismatch =>
    mismatch(key, { status: 'open', class: 'collation', differences: field('name'), ...change });

  fact(
    'an explanation without ticket and day is refused, with what is missing, for all keys or none',
    async ({ first, second }) => {
      await first.mismatches.record(migration, [open('1'), open('2'), mismatch('3')]);
      await assert.rejects(
        second.mismatches.decide(
          migration,
          [open('1'), open('2')],
          explanation({ ticket: null, expiresMs: null, owner: null }),
        ),
        /an owner and a ticket and a day/,
      );
      // The third one is no mismatch yet: the first two are left as they were, too.
      await assert.rejects(
        second.mismatches.decide(migration, [open('1'), open('2'), mismatch('3')], explanation()),
        /not confirmed/,
      );
      assert.deepEqual(await statuses(first.mismatches), ['open', 'open', 'suspect']);
    },
  );

  fact('what is explained stays so while it looks the same', async ({ first, second }) => {
    const { mismatches } = first;
    await mismatches.record(migration, [open('1'), open('2'), open('3')]);
    const done = await second.mismatches.decide(
      migration,
      [open('1'), open('2'), open('3')],
      explanation(),
    );
    assert.deepEqual(
      done.map(({ status, owner, ticket, note }) => [status, owner, ticket, note]),
      Array.from({ length: 3 }, () => ['explained', 'ada', 'OPS-1', 'known']),
    );
    assert.equal(await mismatches.count(migration, 'unexplained'), 0);
    const recurring = await mismatches.record(migration, [
      open('1', { lastSeenMs: 6_000, note: 'as before' }),
      open('2', { differences: field('city') }),
      open('3', { class: 'unknown', differences: [{ field: 'name', expected: 'a', actual: 'b' }] }),
    ]);
    assert.deepEqual(await statuses(second.mismatches), ['explained', 'recurring', 'recurring']);
    assert.deepEqual(
      recurring.map(({ key }) => key),
      ['["2"]', '["3"]'],
    );
    const kept = await mismatches.find(migration, open('1'));
    assert.equal(kept?.note, 'known', 'the note of the explanation stays');
    assert.equal(kept?.lastSeenMs, 6_000);
    assert.equal(await mismatches.count(migration, 'unexplained'), 2);
  });

  fact('an explanation that has expired counts as unexplained', async ({ first }, clock: Clock) => {
    await first.mismatches.record(migration, [open('1')]);
    const soon = clock.now() + 150;
    await first.mismatches.decide(migration, [open('1')], explanation({ expiresMs: soon }));
    assert.equal(await first.mismatches.count(migration, 'unexplained'), 0);
    await clock.sleep(200);
    assert.equal(await first.mismatches.count(migration, 'unexplained'), 1);
    const listed = await first.mismatches.list(migration, { status: 'unexplained', limit: 9 });
    assert.equal(listed.length, 1);
    assert.equal((await first.mismatches.tally(migration))[0]?.status, 'open');
  });

  fact('what was repaired and is there again is recurring, also after a while', async (stores) => {
    const { mismatches } = stores.first;
    await mismatches.record(migration, [open('1')]);
    await mismatches.record(migration, [open('1', { status: 'repaired', detector: 'repair' })]);
    assert.equal(await mismatches.count(migration, 'repaired'), 1);
    await stores.second.mismatches.record(migration, [mismatch('1')]);
    assert.deepEqual(await statuses(mismatches), ['suspect']);
    await mismatches.gone(migration, [open('1')]);
    assert.deepEqual(await statuses(mismatches), ['repaired']);
    await mismatches.record(migration, [mismatch('1')]);
    const recurring = await mismatches.record(migration, [open('1')]);
    assert.equal(recurring.length, 1);
    assert.deepEqual(await statuses(mismatches), ['recurring']);
    await mismatches.record(migration, [open('2')]);
    await mismatches.gone(migration, [open('2')]);
    assert.deepEqual(await statuses(mismatches), ['recurring'], 'what was only open is forgotten');
  });

  fact('what was seen since a look began is not forgotten by its answer', async (stores) => {
    const { mismatches } = stores.first;
    await mismatches.record(migration, [mismatch('1', { lastSeenMs: 1_000 }), mismatch('2')]);
    await stores.second.mismatches.record(migration, [mismatch('1', { lastSeenMs: 2_000 })]);
    const { lastSeenMs: seenMs } = mismatch('2');
    await mismatches.gone(migration, [
      { collection: open('1').collection, key: open('1').key, seenMs: 1_000 },
      { collection: open('2').collection, key: open('2').key, seenMs },
    ]);
    const left = await mismatches.list(migration, { limit: 9 });
    assert.deepEqual(
      left.map(({ key }) => key),
      [open('1').key],
    );
    await mismatches.gone(migration, [{ ...open('1'), seenMs: 2_000 }]);
    assert.equal((await mismatches.list(migration, { limit: 9 })).length, 0);
  });

  fact('somebody who looks into it is kept while it is seen again and again', async ({ first }) => {
    await first.mismatches.record(migration, [open('1')]);
    const taken = { by: 'ada@here', atMs: 2_000, to: 'investigating', owner: 'grace' } as const;
    await first.mismatches.decide(migration, [open('1')], taken);
    await first.mismatches.record(migration, [open('1', { lastSeenMs: 7_000 })]);
    const line = await first.mismatches.find(migration, open('1'));
    assert.equal(line?.status, 'investigating');
    assert.equal(line?.owner, 'grace');
    assert.equal(await first.mismatches.count(migration, 'unexplained'), 1);
    const reopened = { by: 'ada@here', atMs: 8_000, to: 'open', note: 'not mine' } as const;
    const [last] = await first.mismatches.decide(migration, [open('1')], reopened);
    assert.deepEqual(
      last?.turns.map(({ status, by }) => [status, by]),
      [
        ['open', 'verify'],
        ['investigating', 'ada@here'],
        ['open', 'ada@here'],
      ],
    );
  });
}

function searchFacts(fact: ControlFact): void {
  fact(
    'mismatches are sought by collection, class, field and detector, page by page',
    async ({ first, second }) => {
      const differing = (...fields: readonly string[]): Mismatch['differences'] =>
        fields.map((field) => ({ field, expected: '1', actual: '2', class: 'unknown' as const }));
      const all = [
        mismatch('1', { status: 'open', differences: differing('name', 'na_me') }),
        mismatch('2', { status: 'open', differences: differing('naXme') }),
        mismatch('3', { status: 'open', differences: differing('lines["7"].total') }),
        mismatch('4', { status: 'open', kind: 'missing', detector: 'shadow-read' }),
        mismatch('5', { status: 'open', collection: 'orders', firstSeenMs: 500 }),
      ];
      await first.mismatches.record(migration, all);
      const keys = async (filter: object): Promise<readonly string[]> =>
        (await second.mismatches.list(migration, { limit: 10, ...filter })).map(({ key }) =>
          String((JSON.parse(key) as string[])[0]),
        );
      assert.deepEqual(await keys({}), ['5', '1', '2', '3', '4']);
      assert.deepEqual(await keys({ collection: 'orders' }), ['5']);
      assert.deepEqual(await keys({ class: 'missing' }), ['4']);
      assert.deepEqual(await keys({ field: 'na_me' }), ['1'], 'no pattern');
      assert.deepEqual(await keys({ field: 'lines.total' }), ['3']);
      assert.deepEqual(await keys({ detector: 'shadow-read' }), ['4']);
      const [fifth] = await second.mismatches.list(migration, { limit: 1 });
      assert.deepEqual(await keys({ after: fifth, limit: 2 }), ['1', '2']);
      assert.deepEqual(await keys({ field: 'name', status: 'explained' }), []);
    },
  );

  fact('mismatches are listed by their last sight, page by page', async ({ first, second }) => {
    const at = (key: string, lastSeenMs: number, collection = 'customers'): Mismatch =>
      mismatch(key, { collection, firstSeenMs: 1, lastSeenMs });
    await first.mismatches.record(migration, [at('1', 9), at('2', 7), at('2', 7, 'a'), at('3', 8)]);
    const page = (after: MismatchLine | null) =>
      second.mismatches.list(migration, { limit: 3, lastSeen: { after } });
    const lines = await page(null);
    const places = lines.map(({ collection, key }) => [collection, JSON.parse(key)[0]].join(' '));
    assert.deepEqual(places, ['a 2', 'customers 2', 'customers 3']);
    assert.deepEqual(
      (await page(lines[0] ?? null)).map(({ lastSeenMs }) => lastSeenMs),
      [7, 8, 9],
    );
    assert.deepEqual(
      (await page(lines[2] ?? null)).map(({ lastSeenMs }) => lastSeenMs),
      [9],
    );
  });

  fact('lines that look alike are counted together', async ({ first, second }) => {
    const differences: Mismatch['differences'] = [
      { field: 'lines["7"].total', expected: '1.5', actual: '1', class: 'numeric-precision' },
      { field: 'lines["8"].total', expected: '2.5', actual: '2', class: 'numeric-precision' },
    ];
    const seen = { status: 'open', class: 'numeric-precision', differences } as const;
    await first.mismatches.record(migration, [
      mismatch('1', seen),
      mismatch('2', seen),
      mismatch('3', { status: 'open', kind: 'extra' }),
    ]);
    const alike = { collection: 'customers', status: 'open' } as const;
    assert.deepEqual(await second.mismatches.tally(migration), [
      {
        ...alike,
        kind: 'different',
        class: 'numeric-precision',
        fields: [{ field: 'lines.total', class: 'numeric-precision' }],
        count: 2,
      },
      { ...alike, kind: 'extra', class: 'extra', fields: [], count: 1 },
    ]);
  });
}
