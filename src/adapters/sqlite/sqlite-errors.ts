import { ChangeoverError, messageOf } from '../../errors/index.ts';

/** SQLite's name of the error; opening a file gives a plain error that holds only the number. */
function codeOf(error: unknown): string {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  if (typeof code === 'string' && code.startsWith('SQLITE_')) return code;
  return typeof message === 'string' && /Unable to open|: 14"?\)?$/.test(message)
    ? 'SQLITE_CANTOPEN'
    : '';
}

/** Another process holds the lock: nothing has happened, try again. */
export function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(codeOf(error));
}

/** The error of ours for anything that libsql throws. */
export function toControlError(error: unknown, file: string, what: string): ChangeoverError {
  if (error instanceof ChangeoverError) return error;
  const code = codeOf(error);
  const unavailable = (message: string): ChangeoverError =>
    new ChangeoverError('CONTROL_UNAVAILABLE', message, {
      cause: error,
      data: { file, what, code },
    });
  if (isBusy(error)) {
    return unavailable(
      `${what}: other processes kept the control file ${file} locked. If none is running, look for a stopped process that has it open.`,
    );
  }
  if (/^SQLITE_(FULL)/.test(code)) {
    return unavailable(
      `${what}: the disk that holds the control file ${file} is full. Free space.`,
    );
  }
  if (/^SQLITE_IOERR/.test(code)) {
    return unavailable(
      `${what}: reading or writing the control file ${file} failed (${messageOf(error)}). Check the disk and its free space; network file systems are not supported.`,
    );
  }
  if (/^SQLITE_(CANTOPEN|PERM|READONLY|AUTH)/.test(code)) {
    return unavailable(
      `${what}: the control file ${file} cannot be opened for writing. Check that its folder exists and that this user may write there (the files ending in -wal and -shm too).`,
    );
  }
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) {
    return new ChangeoverError(
      'CONFIG_INVALID',
      `${what}: the control file ${file} is damaged or is no SQLite database (${messageOf(error)}). Restore it from a backup; where there is none, stop every process that uses it, move it away and start again: the guard rows in both stores still say who has authority.`,
      { cause: error, data: { file, what, code } },
    );
  }
  return unavailable(`${what} in the control file ${file} failed: ${messageOf(error)}.`);
}
