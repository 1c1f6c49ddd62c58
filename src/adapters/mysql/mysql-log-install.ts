import { ChangeoverError } from '../../errors/index.ts';
import type { LogStart } from '../../log/index.ts';
import { errnoOf } from './mysql-errors.ts';
import type { FormColumn } from './mysql-log-forms.ts';
import { presentForm } from './mysql-log-history.ts';
import { type LogPlace, placeOf, positionAt } from './mysql-log-items.ts';
import { gtidsAt } from './mysql-log-place-check.ts';
import type { LogServer, LogStatus } from './mysql-log-server.ts';
import type { LogStreams } from './mysql-log-streams.ts';
import { type PublishedTable, type PublishedTables, tableText } from './mysql-log-tables.ts';

/** What the log must be like: setting → value, and what to do. Settings that a server does not have are as wanted. */
const WANTED: readonly (readonly [name: string, value: RegExp, fix: string])[] = [
  ['log_bin', /^(ON|1)$/i, 'Set log_bin and restart the server.'],
  ['server_id', /^[1-9]/, 'Give the server a server_id that is not 0.'],
  ['binlog_format', /^ROW$/i, 'SET GLOBAL binlog_format=ROW, and end the sessions that are open.'],
  ['binlog_row_image', /^FULL$/i, 'SET GLOBAL binlog_row_image=FULL.'],
  ['binlog_row_value_options', /^$/, "SET GLOBAL binlog_row_value_options=''."],
  [
    'binlog_transaction_compression',
    /^(OFF|0)$/i,
    'SET GLOBAL binlog_transaction_compression=OFF.',
  ],
  ['binlog_order_commits', /^(ON|1)$/i, 'SET GLOBAL binlog_order_commits=ON.'],
];

/** LOG_UNSUPPORTED for the first setting that keeps the log from being read. */
export async function checkSettings(server: LogServer): Promise<void> {
  const settings = await server.settings(WANTED.map(([name]) => name));
  for (const [name, wanted, fix] of WANTED) {
    const value = settings.get(name);
    if (value === undefined || wanted.test(value)) continue;
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `The server has ${name}=${value === '' ? "''" : value}, with which its binary log cannot be read. ${fix}`,
      { data: { setting: name, value } },
    );
  }
}

/** Databases that the server leaves out of its log (`binlog_do_db`, `binlog_ignore_db`). */
export function checkFilters(status: LogStatus, published: PublishedTables, own: string): void {
  const databases = new Set([own, ...published.all.map(({ schema }) => schema)]);
  for (const database of databases) {
    const left = status.only.length > 0 && !status.only.includes(database);
    if (!left && !status.without.includes(database)) continue;
    throw new ChangeoverError(
      'LOG_UNSUPPORTED',
      `The server leaves database ${database} out of its binary log (binlog_do_db, binlog_ignore_db). Take it in and restart the server.`,
      { data: { database } },
    );
  }
}

const LOOK_MS = 50;

/**
 * A place in the log from which on everything can be read, and the forms of the tables there: no transaction is prepared (XA) whose rows lie before it and whose
 * decision lies behind it, and no table changed its form meanwhile. STORE_CONFLICT after `waitMs`.
 */
export async function quietPlace(
  server: LogServer,
  published: PublishedTables,
  own: string,
  waitMs: number,
): Promise<{
  readonly place: LogPlace;
  readonly forms: ReadonlyMap<PublishedTable, readonly FormColumn[]>;
}> {
  const { clock } = server.session.runtime;
  const until = clock.monotonic() + waitMs;
  for (;;) {
    const forms = await presentForms(server, published);
    const preparedCount = await preparedEver(server);
    const open = await preparedNow(server);
    const status = await server.status();
    const quiet = open === 0 && preparedCount === (await preparedEver(server));
    const still = JSON.stringify([...forms.values()]);
    if (quiet && still === JSON.stringify([...(await presentForms(server, published)).values()])) {
      checkFilters(status, published, own);
      const { file, offset } = status;
      const stamp = await server.stamp(file);
      const gtids = await gtidsAt(server, file, offset);
      return { place: { file, offset, stamp, gtids, last: null }, forms };
    }
    if (clock.monotonic() >= until)
      throw new ChangeoverError(
        'STORE_CONFLICT',
        `Capture cannot begin while transactions are prepared (${open} are, see XA RECOVER) or tables are altered; waited ${waitMs} ms.`,
        { data: { prepared: open, waitMs } },
      );
    await clock.sleep(LOOK_MS);
  }
}

async function presentForms(
  server: LogServer,
  published: PublishedTables,
): Promise<ReadonlyMap<PublishedTable, readonly FormColumn[]>> {
  const forms = new Map<PublishedTable, readonly FormColumn[]>();
  for (const table of published.all) {
    const form = await presentForm(server.session, table);
    if (form.length === 0)
      throw new ChangeoverError(
        'STORE_REJECTED',
        `There is no table ${tableText(table)}, which a collection names.`,
        { data: { table: tableText(table) } },
      );
    forms.set(table, form);
  }
  return forms;
}

/** MySQL wants a privilege for it; without, the count of all that were ever prepared has to do. */
async function preparedNow({ session }: LogServer): Promise<number> {
  try {
    return (await session.query('XA RECOVER')).rows.length;
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return 0;
  }
}

async function preparedEver({ session }: LogServer): Promise<string> {
  const { rows } = await session.query("SHOW GLOBAL STATUS LIKE 'Com_xa_prepare'");
  return rows[0]?.[1] ?? '';
}

/**
 * Begins a stream: nothing is created in the server but rows of our own. The order matters: when the row that names the place is committed, every
 * transaction before that place is visible (a server commits in the order of its log), so what is read afterwards and what the log brings have no gap.
 */
export async function installStream(
  server: LogServer,
  streams: LogStreams,
  published: PublishedTables,
  own: string,
  stream: string,
  waitMs: number,
): Promise<LogStart> {
  await checkSettings(server);
  await streams.create();
  if ((await streams.get(stream)) === null) {
    const { place, forms } = await quietPlace(server, published, own, waitMs);
    const position = positionAt(place);
    const identity = await identityAt(server, place);
    const kept = { identity, start: position.text, confirmed: position.text };
    await streams.add(stream, kept, position.sequence, forms);
  }
  const kept = await streams.get(stream);
  const place = placeOf(kept?.start ?? '');
  if (kept === null || place === null)
    throw new ChangeoverError(
      'STORE_CONFLICT',
      `Stream ${stream} was removed while it was installed.`,
    );
  return { identity: kept.identity, position: positionAt(place) };
}

/** The server, and the file in which the stream began. Files are told apart by when they were begun: see `LogPlace`. */
async function identityAt(server: LogServer, { file, stamp }: LogPlace): Promise<string> {
  const { name } = await server.session.flavour();
  const settings = await server.settings(['server_uuid', 'server_id']);
  const which = settings.get('server_uuid') ?? `server ${settings.get('server_id') ?? ''}`;
  return `${name} ${which}, ${file}@${stamp}`;
}
