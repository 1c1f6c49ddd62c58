import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withDatabases } from '../support/databases.ts';
import { withMariadb } from '../support/private-mariadb.ts';
import { missingMariadb } from '../support/requirements.ts';
import { loadMariadb, sakilaSql } from '../support/sakila.ts';
import { type CliAnswer, createUsersFolder, type UsersFolder } from '../support/users-folder.ts';

const targetSql = readFileSync(
  new URL('../../examples/mysql-to-postgres/target.sql', import.meta.url),
  'utf8',
);

describe.skipIf(missingMariadb())(
  'the example of MySQL to PostgreSQL does what its README says, from the installed package',
  { timeout: 120_000 },
  () => {
    const mariadb = withMariadb(1);
    const postgres = withDatabases(1);
    let folder: UsersFolder;
    let worker: ChildProcess | null = null;

    beforeAll(async () => {
      loadMariadb(mariadb.server, sakilaSql().sql);
      await postgres.query(0, targetSql);
      folder = createUsersFolder({
        SOURCE_URL: mariadb.server.url('sakila'),
        TARGET_URL: postgres.url(0),
      });
      folder.copy('examples/mysql-to-postgres');
    });
    afterAll(async () => {
      if (worker && worker.exitCode === null) {
        worker.kill('SIGTERM');
        await once(worker, 'close');
      }
      folder?.remove();
    });

    const said = ({ status, stdout, stderr }: CliAnswer): string => {
      expect(status, `${stdout}\n${stderr}`).toBe(0);
      return stdout;
    };
    /** The command, again while a gate is not open yet. */
    const advance = async (): Promise<string> => {
      for (const until = Date.now() + 40_000; ; await sleep(250)) {
        const answer = folder.cli('advance');
        if (answer.status === 0 || Date.now() > until) return said(answer);
      }
    };

    test('check, start, run, advance, verify, status', async () => {
      const checked = said(folder.cli('check'));
      expect(checked).toMatch(
        /Trigger `del_film` .* of `sakila`.`film` runs for the door's writes/,
      );
      expect(checked).toMatch(/… and \d+ more of mapping\/refuses/);
      expect(checked.split('\n').length).toBeLessThan(60);
      expect(checked).toMatch(/0 failed, 0 unknown\.\nNext: changeover start\n$/);
      expect(said(folder.cli('start'))).toMatch(
        /sakila is in dual-write.*\nRun a worker \(`changeover run`\): it follows the log, whoever writes\./,
      );
      worker = folder.background('run');
      expect(await advance()).toMatch(/is in backfill/);
      loadMariadb(
        mariadb.server,
        `USE sakila; UPDATE film SET title = 'CHANGED MEANWHILE' WHERE film_id = 7`,
      );
      expect(await advance()).toMatch(/is in shadow-read/);
      const verified = said(folder.cli('verify'));
      expect(verified).toMatch(/film: passed/);
      expect(verified).toMatch(/payment: passed/);
      const status = said(folder.cli('status'));
      expect(status).toMatch(/log: (applied to its end|behind: applied to) /);
      expect(status).toMatch(/backfill of rental: .*finished/);
      expect(status).toMatch(/mismatches: 0 open/);
      expect(await postgres.query(0, 'SELECT title FROM film WHERE film_id = 7')).toEqual([
        { title: 'CHANGED MEANWHILE' },
      ]);
    });
  },
);
