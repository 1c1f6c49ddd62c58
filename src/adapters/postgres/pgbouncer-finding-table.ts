import type { FindingEntry } from '../../store/index.ts';

/** Every finding of `check` about a PgBouncer that holds traffic during a switch. */
export const pgbouncerFindings = {
  'no-answer': {
    meaning: 'Its admin console does not answer, so nothing is known.',
    fix: 'Correct `admin`, or start it.',
  },
  file: {
    meaning: 'The file that it includes can, or cannot, be read and replaced by us.',
    fix: 'Write it once by hand, include it at the top of pgbouncer.ini, and RELOAD.',
  },
  database: {
    meaning: 'It has no database of the name in `databases`.',
    fix: 'Correct `databases`, or include the file and RELOAD.',
  },
  paused: {
    meaning: "A database is paused: somebody else's pause, or what a change of authority left.",
    fix: 'changeover switch-writes --recover, or RESUME.',
  },
  elsewhere: {
    meaning: 'A database leads to another server than the authority.',
    fix: 'changeover switch-writes --recover points it there; or correct `databases`.',
  },
  'all-paused': {
    meaning: 'All of it is paused or suspended, by somebody else: PAUSE without a name.',
    fix: 'Ask who did it; RESUME.',
  },
  'same-store': {
    meaning: 'The line for a side leads to the store of that side.',
    fix: 'Nothing to do.',
  },
  'other-store': {
    meaning: 'The line for a side leads to another database than the store of that side.',
    fix: 'Correct `databases`.',
  },
  'not-looked': {
    meaning: 'The line for a side was not looked through, because its file does not have it yet.',
    fix: 'Nothing to do: a switch writes it, and looks before it begins.',
  },
  'no-look': {
    meaning: 'The line for a side could not be looked through.',
    fix: 'Name a user whom PgBouncer and both servers let in in `login`; or start the server.',
  },
  place: { meaning: 'Where a database leads.', fix: 'Nothing to do.' },
  pooling: { meaning: 'How connections are pooled.', fix: 'Nothing to do.' },
  'session-pooling': {
    meaning: 'A pause in session pooling waits until every client has gone away.',
    fix: 'pool_mode = transaction, where the application can do with it.',
  },
  admin: {
    meaning: 'The user may, or may not, pause and resume.',
    fix: 'Name the user of `admin` in admin_users of pgbouncer.ini.',
  },
  'query-wait-timeout': {
    meaning: 'Clients that wait are thrown out sooner than a switch may take.',
    fix: 'query_wait_timeout = 30',
  },
  'server-login-retry': {
    meaning: 'After one failed login every client is refused for some seconds.',
    fix: 'server_login_retry = 1',
  },
} as const satisfies Readonly<Record<string, FindingEntry>>;
