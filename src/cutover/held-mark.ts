import type { MigrationContext } from '../control/index.ts';

export const hasTraffic = ({ traffic }: MigrationContext): boolean => (traffic?.length ?? 0) > 0;

const HELD = ':held';
const HOOKS = ':hook';

/** The name of an attempt that holds traffic by hooks: in a guard it says so to everybody, also to a process that has no hooks. */
export const withHooks = (attempt: string): string =>
  attempt.endsWith(HOOKS) ? attempt : `${attempt}${HOOKS}`;

/** A guard's mark, once no step of the attempt may find its own there: it says that traffic may still be held. */
export const heldMark = (attempt: string): string =>
  attempt.endsWith(HELD) ? attempt : `${attempt}${HELD}`;

/** True of a mark, or an attempt, whose traffic hooks may hold. */
export const saysHeld = (mark: string): boolean => mark.endsWith(HELD) || mark.endsWith(HOOKS);

/** For a process without hooks that meets such a mark. */
export const heldByOthers = (mark: string): string =>
  `attempt ${mark} has held traffic with hooks, and this process has none in its configuration: traffic may stand still, or go to the other store, until one that has them lets it go. Run \`changeover switch-writes --recover\`, or a worker, with the configuration that names them in \`traffic\``;
