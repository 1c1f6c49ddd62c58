import { describe, expect, test } from 'vitest';
import { mysql } from '../../src/adapters/mysql/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import type { DigestPlan, MigrationStore } from '../../src/store/index.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';

const everything = { after: null, until: null };
const plan: DigestPlan = {
  function: 'sha256',
  columns: [
    { name: 'id', encoding: { form: 'integer' } },
    { name: 'body', encoding: { form: 'hex' } },
  ],
};

describe.skipIf(missingMariadb())(
  'a MariaDB row whose text is longer than the server makes',
  () => {
    // It is stored, because a statement writes 700 000 bytes; twice as many digits are no text of this server.
    const databases = withMariadb(1, { settings: { max_allowed_packet: '1M' } });

    const open = (): Promise<MigrationStore> =>
      mysql({ url: databases.url(0) }).connect({
        migration: 'shop',
        side: 'source',
        shapes: new Map([['files', { table: 'files', key: ['id'] }]]),
        runtime: systemRuntime,
      });

    test('has a digest that no other row has, and its range as well', async () => {
      const run = (sql: string) => databases.query(0, sql);
      await run('CREATE TABLE files (id int PRIMARY KEY, body longblob)');
      await run(
        `INSERT INTO files VALUES (1, 'small'), (2, REPEAT('a', 700000)), (3, 'small'), (4, REPEAT('c', 700000))`,
      );
      const store = await open();
      try {
        const { digests } = store.records;
        if (!digests) throw new Error('MariaDB makes digests.');
        const look = async () => ({
          rows: (await digests.rows('files', plan, everything, 9)).map(({ digest }) => digest),
          range: (await digests.ranges('files', plan, [everything]))[0]?.digest,
        });
        const before = await look();
        await run(`UPDATE files SET body = REPEAT('b', 700000) WHERE id = 2`);
        const after = await look();
        expect(after.rows[0]).toBe(before.rows[0]);
        expect(after.rows[1]).not.toBe(before.rows[1]);
        // Not the same as each other either: an empty text would be.
        expect(new Set([...before.rows, ...after.rows.slice(1, 2)]).size).toBe(5);
        expect(after.range).not.toBe(before.range);
      } finally {
        await store.close();
      }
    });
  },
);
