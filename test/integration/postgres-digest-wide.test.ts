import { expect, test } from 'vitest';
import { postgres } from '../../src/adapters/postgres/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { DigestPlan } from '../../src/store/index.ts';
import { withDatabases } from '../support/databases.ts';

const plan: DigestPlan = {
  function: 'sha256',
  columns: [
    { name: 'id', encoding: { form: 'integer' } },
    { name: 'body', encoding: { form: 'text' } },
  ],
};
const databases = withDatabases(1);

test('a range of more text than PostgreSQL should hold has no digest, and its parts have one', async () => {
  await databases.query(0, 'CREATE TABLE files (id int PRIMARY KEY, body text)');
  // 90 MB of text, in one as it is stored. An aggregate of 1 GB would fail, and end the snapshot.
  await databases.query(
    0,
    `INSERT INTO files SELECT n, repeat('x', 300000) FROM generate_series(1, 300) n`,
  );
  const store = await postgres({ url: databases.url(0) }).connect({
    migration: 'shop',
    side: 'source',
    shapes: new Map([['files', { table: 'files', key: ['id'] }]]),
    runtime: systemRuntime,
  });
  try {
    const found = await store.records.digests?.ranges('files', plan, [
      { after: null, until: null },
      { after: ['10'], until: ['20'] },
      { after: ['9000'], until: null },
    ]);
    expect(found).toMatchObject([
      { rows: 300, digest: null },
      { rows: 10, digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
      { rows: 0, digest: expect.stringMatching(/^e3b0c442/), bytes: 0 },
    ]);
    expect(found?.[1]?.bytes).toBeGreaterThan(3_000_000);
  } finally {
    await store.close();
  }
});
