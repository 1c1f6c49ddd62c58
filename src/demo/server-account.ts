import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The unprivileged account under which the server runs when we are root. */
export interface ServerAccount {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

const OWN_NAME = 'changeover-postgres';

/**
 * PostgreSQL refuses to run as root. As root: the account `postgres`, else our own one, which is
 * created when it is missing (stated on stderr). Otherwise undefined: the server runs as we do.
 */
export function serverAccount(): ServerAccount | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const known = lookup('postgres') ?? lookup(OWN_NAME);
  if (known !== undefined) return known;
  process.stderr.write(
    `changeover: PostgreSQL does not run as root; creating the system account ${OWN_NAME}\n`,
  );
  const created = spawnSync('useradd', ['--system', '--shell', '/usr/sbin/nologin', OWN_NAME], {
    encoding: 'utf8',
  });
  // Two processes may have tried at once: only the result counts.
  const account = lookup(OWN_NAME);
  if (account !== undefined) return account;
  throw new Error(
    `PostgreSQL does not run as root and useradd failed (${created.error?.message ?? created.stderr.trim()}); ` +
      'run as an ordinary user, or create an account named postgres',
  );
}

function lookup(name: string): ServerAccount | undefined {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  if (uid === undefined || gid === undefined) return undefined;
  return { name, uid: Number(uid), gid: Number(gid) };
}
