import { isChangeoverError, messageOf } from '../../errors/index.ts';
import type { Finding } from '../../store/index.ts';
import type { CatalogCollection } from './mysql-catalog.ts';
import type { MysqlStoreParts } from './mysql-door-entry.ts';
import { finding, pass } from './mysql-finding.ts';
import {
  actionsText,
  type ForeignAction,
  foreignActions,
  quotedTable,
  type TableName,
} from './mysql-foreign-actions.ts';
import { grantsOf } from './mysql-inspect-privileges.ts';
import { quoteIdentifier } from './mysql-text.ts';
import { touchTriggers } from './mysql-touch-triggers.ts';

/**
 * Foreign keys that change rows of collections which are captured from the log: InnoDB tells nobody, triggers of ours on the referred tables do (`touchTriggers`). Those
 * tables need not be part of the migration. On both sides: the follower's are needed from the switch on.
 */
export async function actionFindings(
  { session, catalog, layout, logged }: MysqlStoreParts,
  role: 'authority' | 'follower',
): Promise<readonly Finding[]> {
  const looks = await Promise.allSettled([...logged].map((name) => catalog.collection(name)));
  // What cannot be looked up is a finding of its own.
  const collections: readonly CatalogCollection[] = looks.flatMap((look) =>
    look.status === 'fulfilled' ? [look.value] : [],
  );
  const tables = collections.flatMap(({ root, children }) => [root, ...children]);
  const actions = await foreignActions(session, tables);
  let referred: ReadonlyMap<string, TableName>;
  try {
    const triggers = touchTriggers(layout, actions, collections);
    referred = new Map(triggers.map(({ table }) => [quotedTable(table), table]));
  } catch (error) {
    if (!isChangeoverError(error, 'LOG_UNSUPPORTED')) throw error;
    return [
      finding(
        'cascade',
        'fail',
        messageOf(error),
        'Take ON DELETE or ON UPDATE from some of these foreign keys, and give it back afterwards.',
      ),
    ];
  }
  if (referred.size === 0) return [];
  const lacking = await privileges(session, actions, referred, role);
  if (lacking.length > 0) return lacking;
  const list = actions.map(
    (action) =>
      `${quotedTable(action.child)} (${quoteIdentifier(action.name)}, ${actionsText(action)})`,
  );
  const when = role === 'authority' ? 'are made at the start' : 'are made before the switch';
  return [
    pass(
      'cascade',
      `InnoDB changes rows of ${list.join(', ')} by itself, which no log tells. Triggers of ours on ${[...referred.keys()].join(', ')} name these rows, so they are read again; they ${when}.`,
    ),
  ];
}

async function privileges(
  session: MysqlStoreParts['session'],
  actions: readonly ForeignAction[],
  referred: ReadonlyMap<string, TableName>,
  role: 'authority' | 'follower',
): Promise<readonly Finding[]> {
  const grants = await grantsOf(session);
  const all = actions.flatMap(({ child, parent }) => [child, parent]);
  const tables = new Map(all.map((one) => [quotedTable(one), one]));
  return [...tables].flatMap(([quoted, { database, name }]) => {
    const held = grants.table(database, name);
    const wanted = referred.has(quoted) ? ['SELECT', 'TRIGGER'] : ['SELECT'];
    const missing = wanted.filter((one) => !held.has(one));
    if (missing.length === 0) return [];
    return [
      finding(
        'cascade-privilege',
        grants.roles ? 'unknown' : 'fail',
        `A change in ${quoted} changes rows of the migration inside InnoDB, and ${grants.user} lacks ${missing.join(', ')} on it: nobody could tell which${role === 'follower' ? ' (needed from the switch on, for the way back)' : ''}.`,
        `GRANT ${missing.join(', ')} ON ${quoted} TO ${grants.user}`,
      ),
    ];
  });
}
