/**
 * Deliberate defects, for proving that the simulation catches them. Never set outside of tests: each one loses data.
 *
 * - `door-without-fence`: the door applies whatever comes.
 * - `fence-in-own-transaction`: the fence commits before the rows do.
 * - `tombstone-forgotten`: a delete leaves no fence.
 * - `backfill-overwrites`: a chunk writes what is present or fenced, too.
 * - `door-without-role`: the door looks neither at role nor at epoch.
 * - `healer-clears-intent`: an intent that a worker has claimed or settled does not keep its owner from committing.
 * - `version-before-lock`: a write draws its version before it locks the key.
 * - `guard-admits-marked`: the guard lets in every session that has a mark.
 * - `delete-skips-chunk`: a delete that finds no row does not wait for the chunk in flight.
 * - `delete-looks-once`: a delete that found neither its row nor a chunk in flight does not look for the row again.
 * - `zombie-chunk`: a chunk writes although another owner took it over.
 * - `chunk-without-second-look`: a chunk does not look at the fences again after it has inserted.
 * - `reread-unserialized`: a re-read takes no lock and draws its version last.
 * - `guard-without-drain`: the guard changes without waiting for those it let in.
 * - `guard-not-asked`: an own write is let in whatever the guard says.
 * - `log-checkpoint-before`: the checkpoint of a log commits before the rows do.
 * - `log-checkpoint-after`: the checkpoint of a log is written once the rows are committed, whatever it was before.
 * - `log-parts-refused`: a change out of the log has to be newer than its fence, also within one transaction.
 * - `log-without-fence`: what comes out of the log is let in whatever the fence holds.
 * - `log-mark-ignored`: the log brings back what the door wrote.
 * - `reread-before-visible`: a re-read does not wait until what the log has brought can be seen.
 */
export const sabotages = [
  'door-without-fence',
  'fence-in-own-transaction',
  'tombstone-forgotten',
  'backfill-overwrites',
  'door-without-role',
  'healer-clears-intent',
  'version-before-lock',
  'guard-admits-marked',
  'delete-skips-chunk',
  'delete-looks-once',
  'zombie-chunk',
  'chunk-without-second-look',
  'reread-unserialized',
  'guard-without-drain',
  'guard-not-asked',
  'log-checkpoint-before',
  'log-checkpoint-after',
  'log-parts-refused',
  'log-without-fence',
  'log-mark-ignored',
  'reread-before-visible',
] as const;

export type Sabotage = (typeof sabotages)[number];
