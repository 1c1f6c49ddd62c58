/** Action of the audit line by which a worker tells of foreign writes to the follower: `{ side, total, newestMs, tables, users }`. */
export const rogueWriteNote = 'rogue-write';
/** Action of the audit line by which an operator acknowledges them. */
export const rogueAcknowledged = 'rogue-acknowledged';
