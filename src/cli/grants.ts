import type { CollectionDraft, DefinedMigration } from '../config/index.ts';
import type { Side } from '../migration/index.ts';

/** The least privileges of one side. */
export interface SideGrants {
  readonly side: Side;
  readonly engine: string;
  /** Without password. */
  readonly display: string;
  /** Statements with comments, each ended; null: this engine has none. */
  readonly sql: readonly string[] | null;
}

/** What fresh roles of both sides need, told by the configuration alone: the roles need not exist yet. */
export function grantsOf({
  name,
  collections,
  options,
  ...sides
}: DefinedMigration): readonly SideGrants[] {
  const drafts = [...collections.values()];
  return (['source', 'target'] as const).map((side) => {
    const { engine, display, grants } = sides[side];
    const plan = {
      migration: name,
      side,
      tables: [...new Set(drafts.flatMap((draft) => tablesOf(draft, side)))],
      logged: drafts.some(({ capture }) => capture === 'log'),
      defersIndexes: side === 'target' && options.backfill.deferIndexes !== 'none',
    };
    return { side, engine, display, sql: grants?.(plan) ?? null };
  });
}

function tablesOf(draft: CollectionDraft, side: Side): readonly string[] {
  const { table, children = {} } = draft[side];
  return [table, ...Object.values(children).map((child) => child.table)];
}

/** As a file that can be given to `psql` or `mariadb`, once cut in two. */
export function grantsText(grants: readonly SideGrants[]): readonly string[] {
  return grants.flatMap(({ side, engine, display, sql }) => [
    `-- ${side}: ${display}`,
    ...(sql ?? [`-- ${engine} stores need no grants.`]),
    '',
  ]);
}
