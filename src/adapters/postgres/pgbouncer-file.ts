import type { Stats } from 'node:fs';
import { chmod, chown, open, rename, rm, stat } from 'node:fs/promises';
import { ChangeoverError, messageOf } from '../../errors/index.ts';
import { systemRandom } from '../../runtime/index.ts';

/** Where a connect string of PgBouncer leads. */
export interface Endpoint {
  /** null: a unix socket. */
  readonly host: string | null;
  readonly port: number;
  readonly database: string;
}

/** `host:port/database`. */
export const describeEndpoint = ({ host, port, database }: Endpoint): string =>
  `${host ?? 'unix socket'}:${port}/${database}`;

/** A connect string as it stands right of `name =` in PgBouncer's section `[databases]`. CONFIG_INVALID. */
export function endpointOf(name: string, text: string): Endpoint {
  const values = new Map<string, string>();
  const rest = text.replaceAll(/(\w+)\s*=\s*(?:'((?:[^']|'')*)'|([^\s']*))/g, (...found) => {
    const [, key, quoted, bare] = found as readonly (string | undefined)[];
    values.set(key ?? '', quoted?.replaceAll("''", "'") ?? bare ?? '');
    return '';
  });
  if (rest.trim() !== '' || values.size === 0 || /[\r\n]/.test(text))
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `pgbouncer(): the connect string of "${name}" is not of the form "host=… port=… dbname=…": ${JSON.stringify(text.replaceAll(/(password\s*=\s*)\S+/g, '$1…'))}.`,
    );
  return {
    host: values.get('host') ?? null,
    port: Number(values.get('port') ?? 5432),
    database: values.get('dbname') ?? name,
  };
}

/** What is written into the file that pgbouncer.ini includes. */
export function includeText(lines: ReadonlyMap<string, string>): string {
  const body = [...lines].map(([name, connect]) => `${quoted(name)} = ${connect}\n`).join('');
  return `; Written by changeover, at each change of authority: edits are lost.\n[databases]\n${body}`;
}

const quoted = (name: string): string =>
  /^[A-Za-z0-9_]+$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;

/**
 * Replaces a file in one step; mode and owner stay as they were (a new one: 0640). Whoever reads it sees the old or the new text. CONFIG_INVALID, and the old text
 * stays, when the owner cannot be kept and whoever could read the file could not read the new one.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const before = await stat(path).catch(() => null);
  const draft = `${path}.${systemRandom.id()}`;
  try {
    const file = await open(draft, 'wx', 0o640);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (before !== null) {
      await chmod(draft, before.mode & 0o7777);
      await keepOwner(path, draft, before);
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Only root may give files away; for anybody else the group is what can be kept, and enough where the group may read. */
async function keepOwner(path: string, draft: string, before: Stats): Promise<void> {
  const all = await chown(draft, before.uid, before.gid).then(
    () => null,
    (error: unknown) => error,
  );
  if (all === null) return;
  await chown(draft, -1, before.gid).catch(() => {});
  const after = await stat(draft);
  const readable =
    (before.mode & OTHERS_READ) !== 0 ||
    after.uid === before.uid ||
    (after.gid === before.gid && (before.mode & GROUP_READS) !== 0);
  if (readable) return;
  throw new ChangeoverError(
    'CONFIG_INVALID',
    `${path} belongs to user ${before.uid}, group ${before.gid} (mode ${(before.mode & 0o777).toString(8)}), and this process, user ${after.uid}, cannot keep that: whoever reads it now, PgBouncer among them, could not read the new one (${messageOf(all)}). The file stays as it is. Let this process's user be in a group that PgBouncer is in, and give the file that group and mode 0640: chgrp GROUP ${path} && chmod 0640 ${path}.`,
    { cause: all },
  );
}

const OTHERS_READ = 0o004;
const GROUP_READS = 0o040;
