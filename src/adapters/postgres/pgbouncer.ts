import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { ChangeoverError, isChangeoverError, messageOf } from '../../errors/index.ts';
import type { Side } from '../../migration/index.ts';
import { systemClock } from '../../runtime/index.ts';
import type { Finding } from '../../store/index.ts';
import type { TrafficHook } from '../../traffic/index.ts';
import { allPaused, inspectPgBouncer, isPausedAsAWhole } from './pgbouncer-check.ts';
import { PgBouncerConsole, type ShownDatabase } from './pgbouncer-console.ts';
import {
  describeEndpoint,
  type Endpoint,
  endpointOf,
  includeText,
  replaceFile,
} from './pgbouncer-file.ts';
import { lookLines, lookThrough, type PgBouncerLogin } from './pgbouncer-look.ts';

export interface PgBouncerOptions {
  /** Admin console: `postgres://USER@HOST:6432/pgbouncer`, of a user in `admin_users`. */
  readonly admin: string;
  /**
   * Absolute path of a file that is ours alone and that pgbouncer.ini includes (`%include PATH`). It is replaced at each change of authority, so its
   * folder has to be writable for every process that may switch, undo or resume: command line and worker. A function where
   * PgBouncer runs elsewhere: puts the text in place of the file, and has done so when it resolves.
   */
  readonly file: string | ((text: string) => Promise<void>);
  /** Database as applications know it → what stands right of `NAME =` in `[databases]`, for each side: `host=10.0.0.5 port=5432 dbname=shop`. */
  readonly databases: Readonly<Record<string, Readonly<Record<Side, string>>>>;
  /**
   * Who looks through the lines of both sides before a switch, over PgBouncer as the application does: somebody whom it and both servers let in. Default: the user of
   * `admin`.
   */
  readonly login?: PgBouncerLogin;
  /** For messages. Default: `PgBouncer HOST:PORT`. */
  readonly name?: string;
}

/** Connecting, and each command that does not wait for anybody. */
const COMMAND_MS = 3_000;
/** A login on its way when PAUSE comes is broken off, and PgBouncer then refuses clients for `server_login_retry`; logins are quick. */
const LOGIN_MS = 200;
const LOOK_MS = 2;
/** In PgBouncer's book as good as no limit, and to be seen in SHOW DATABASES. */
const LIMIT_SEEN = 1_000_000_000;

/**
 * Holds what comes through a PgBouncer with transaction or statement pooling: PAUSE, then another server behind the same name, then
 * RESUME. Clients stay connected and see one slow transaction. One hook for each PgBouncer process that has a console of its own.
 *
 * PgBouncer has no command for another server: the include file is replaced and RELOAD reads it. RELOAD and RESUME are sent together, because a
 * client that logs in between the two makes PgBouncer try the new server while it is paused, fail, and refuse everybody
 * for `server_login_retry` (pgbouncer#498).
 *
 * CONFIG_INVALID. Methods throw STORE_UNAVAILABLE, DEADLINE_EXCEEDED.
 */
export function pgbouncer(options: PgBouncerOptions): TrafficHook {
  const { admin, file, databases } = options;
  const name = options.name ?? `PgBouncer ${addressOf(admin)}`;
  const endpoints = endpointsOf(options);
  const names = [...endpoints.keys()];

  const write = (text: string): Promise<void> =>
    typeof file === 'string' ? replaceFile(file, text) : file(text);
  const textFor = (side: Side, more = (_name: string): string => ''): string =>
    includeText(
      new Map(
        names.flatMap((one) => {
          const lines = databases[one] as Readonly<Record<Side, string>>;
          return [[one, `${lines[side]}${more(one)}`] as const, ...lookLines(one, lines)];
        }),
      ),
    );
  const withConsole = async <T>(work: (console: PgBouncerConsole) => Promise<T>): Promise<T> => {
    const console = await PgBouncerConsole.open(admin, COMMAND_MS);
    try {
      return await work(console);
    } finally {
      console.close();
    }
  };
  /** Of a hold, for the release by the same process: a login less while traffic waits. */
  let kept: PgBouncerConsole | null = null;
  const takeKept = (): PgBouncerConsole | null => {
    const console = kept;
    kept = null;
    return console;
  };
  const pausedOf = (all: ReadonlyMap<string, ShownDatabase>): readonly string[] =>
    names.filter((one) => all.get(one)?.paused === true);
  const elsewhere = (all: ReadonlyMap<string, ShownDatabase>, side: Side): readonly string[] =>
    names.filter((one) => !leadsTo(all.get(one), endpoints.get(one)?.[side]));

  const resume = (): Promise<void> =>
    withConsole(async (console) => {
      const paused = pausedOf(await console.databases(COMMAND_MS));
      await console.run(paused.map(resumeOf), COMMAND_MS);
    });
  const pause = (one: string, ms: number): Promise<void> => {
    const until = systemClock.monotonic() + ms;
    return withConsole(async (console) => {
      await withoutLogins(console, one, Math.min(LOGIN_MS, ms / 4));
      const left = until - systemClock.monotonic();
      // Whoever asked may be gone by now, and nobody would look for a pause that comes so late.
      if (left <= 0)
        throw new ChangeoverError(
          'DEADLINE_EXCEEDED',
          `The admin console of ${name} was too slow to pause "${one}" within ${Math.round(ms)} ms.`,
        );
      await console.run([`PAUSE ${identifier(one)}`], left).catch((error: unknown) => {
        if (!isChangeoverError(error, 'DEADLINE_EXCEEDED')) throw error;
        throw new ChangeoverError(
          'DEADLINE_EXCEEDED',
          `Transactions through "${one}" of ${name} did not end within ${Math.round(ms)} ms (SHOW SERVERS shows them).`,
          { cause: error },
        );
      });
    });
  };

  const ends = (side: Side): readonly string[] =>
    [...endpoints.values()].map((both) => describeEndpoint(both[side]));

  return {
    name,
    leadsTo: { source: ends('source'), target: ends('target') },
    async check(authority) {
      const findings: Finding[] = [];
      if (typeof file === 'string') findings.push(await writable(file, textFor(authority)));
      const endpoint = (one: string): Endpoint | undefined => endpoints.get(one)?.[authority];
      const wanted = new Map(names.map((one) => [one, endpoint(one) as Endpoint]));
      const look = withConsole((console) =>
        inspectPgBouncer(console, { name, authority, wanted, ms: COMMAND_MS }),
      );
      findings.push(...(await look.catch((error: unknown) => [noAnswer(name, error)])));
      return findings;
    },
    look(side, sign) {
      const own = new Map([...endpoints].map(([one, both]) => [one, both[side]] as const));
      const about = { name, admin, login: options.login, side, ends: own, sign, ms: COMMAND_MS };
      return withConsole((console) => lookThrough(console, about));
    },
    async prepare(authority) {
      await withConsole(async (console) => {
        // That PgBouncer reads this file, and that no later line of its own wins, shows only when something in it changes.
        const before = await console.databases(COMMAND_MS);
        const limit = (one: string): number =>
          (before.get(one)?.connectionsMax || LIMIT_SEEN - 1) + 1;
        await write(textFor(authority, (one) => ` max_db_connections=${limit(one)}`));
        await console.run(['RELOAD'], COMMAND_MS);
        const seen = await console.databases(COMMAND_MS);
        await write(textFor(authority));
        await console.run(['RELOAD'], COMMAND_MS);
        const unread = names.filter((one) => seen.get(one)?.connectionsMax !== limit(one));
        if (unread.length > 0)
          throw new ChangeoverError(
            'CONFIG_INVALID',
            `${name} does not take ${unread.join(', ')} from ${typeof file === 'string' ? file : 'the file that was handed over'}: pgbouncer.ini has to include it, PgBouncer must be able to read it, and no other line for the same database may stand in [databases].`,
          );
      });
    },
    async hold(ms) {
      const opening = PgBouncerConsole.open(admin, COMMAND_MS).catch(() => null);
      const answers = await Promise.allSettled(names.map((one) => pause(one, ms)));
      const spare = await opening;
      const failed = answers.find((answer) => answer.status === 'rejected');
      if (failed === undefined) {
        takeKept()?.close();
        kept = spare;
        return;
      }
      spare?.close();
      // PgBouncer goes on waiting for the rest of its life, whoever asked.
      await resume();
      throw failed.reason;
    },
    async release(to) {
      const work = async (console: PgBouncerConsole): Promise<void> => {
        // The file in any case: PgBouncer may be started anew at any moment.
        const [before] = await Promise.all([console.databases(COMMAND_MS), write(textFor(to))]);
        const stray = elsewhere(before, to);
        const paused = pausedOf(before);
        const reload = stray.length > 0 ? ['RELOAD'] : [];
        await console.run([...reload, ...paused.map(resumeOf)], COMMAND_MS);
        const after = await console.databases(COMMAND_MS);
        if (await isPausedAsAWhole(console, COMMAND_MS))
          throw new ChangeoverError('STORE_UNAVAILABLE', allPaused(name));
        const wrong = [...elsewhere(after, to), ...pausedOf(after)];
        if (wrong.length > 0)
          throw new ChangeoverError(
            'STORE_UNAVAILABLE',
            `${name}: ${[...new Set(wrong)].map((one) => state(one, after.get(one))).join(', ')} after the release to the ${to}. Its log says why RELOAD changed nothing.`,
          );
      };
      const own = takeKept();
      if (own === null) return withConsole(work);
      // It may be gone by now; then once more over a new one.
      const done = await work(own).then(
        () => true,
        () => false,
      );
      own.close();
      if (!done) await withConsole(work);
    },
  };
}

const resumeOf = (one: string): string => `RESUME ${identifier(one)}`;

const identifier = (one: string): string => `"${one.replaceAll('"', '""')}"`;

function state(one: string, shown: ShownDatabase | undefined): string {
  if (shown === undefined) return `${one} is not there`;
  return `${one} goes to ${describeEndpoint(shown)}${shown.paused ? ' and is paused' : ''}`;
}

function leadsTo(shown: ShownDatabase | undefined, wanted: Endpoint | undefined): boolean {
  return (
    shown !== undefined &&
    wanted !== undefined &&
    shown.host === wanted.host &&
    shown.port === wanted.port &&
    shown.database === wanted.database
  );
}

/** Until no login to a server is on its way, or `ms` is over. */
async function withoutLogins(console: PgBouncerConsole, one: string, ms: number): Promise<void> {
  const until = systemClock.monotonic() + ms;
  for (;;) {
    const [pools = []] = await console.run(['SHOW POOLS'], COMMAND_MS);
    const logins = pools.filter(
      (pool) => pool['database'] === one && Number(pool['sv_login'] ?? 0) > 0,
    );
    if (logins.length === 0 || systemClock.monotonic() >= until) return;
    await systemClock.sleep(LOOK_MS);
  }
}

async function writable(file: string, text: string): Promise<Finding> {
  const id = 'pgbouncer/file';
  const how = `Write it once by hand, put \`%include ${file}\` at the top of pgbouncer.ini instead of the databases' own lines there, and RELOAD: ${JSON.stringify(text.replaceAll(/(password\s*=\s*)\S+/g, '$1…'))}`;
  try {
    await access(file, constants.R_OK);
    await access(dirname(file), constants.W_OK);
    return { id, verdict: 'pass', message: `${file} can be replaced.`, fix: '' };
  } catch (error) {
    const message = `${file} cannot be read, or its folder cannot be written to: ${messageOf(error)}.`;
    return { id, verdict: 'fail', message, fix: how };
  }
}

const noAnswer = (name: string, error: unknown): Finding => ({
  id: 'pgbouncer/no-answer',
  verdict: 'unknown',
  message: `The admin console of ${name} does not answer. ${messageOf(error)}`,
  fix: 'Check address, user and password of `admin`, and that PgBouncer runs.',
});

function addressOf(admin: string): string {
  try {
    const { hostname, port } = new URL(admin);
    return `${hostname}:${port || '6432'}`;
  } catch {
    throw invalid('"admin" has to be the address of the admin console, postgres://…/pgbouncer.');
  }
}

function endpointsOf({
  file,
  databases,
}: PgBouncerOptions): ReadonlyMap<string, Readonly<Record<Side, Endpoint>>> {
  if (typeof file === 'string' && !isAbsolute(file))
    throw invalid(`"file" has to be an absolute path, not "${file}".`);
  const entries = Object.entries(databases ?? {});
  if (entries.length === 0) throw invalid('"databases" has to name at least one database.');
  return new Map(
    entries.map(([name, { source, target }]) => {
      const ends = { source: endpointOf(name, source), target: endpointOf(name, target) };
      if (describeEndpoint(ends.source) === describeEndpoint(ends.target))
        throw invalid(`"${name}" leads to the same database on both sides.`);
      return [name, ends] as const;
    }),
  );
}

const invalid = (problem: string): ChangeoverError =>
  new ChangeoverError('CONFIG_INVALID', `pgbouncer(): ${problem}`);
