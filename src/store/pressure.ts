/**
 * How busy a store is now, for those who can wait: background work asks before it goes on. Each question is optional: one that is absent
 * cannot be answered by this engine. A question whose answer is not to be had (privilege, timeout, nothing there to be measured) throws; it never
 * answers with a guess, because "fine" would be one.
 */
export interface StorePressure {
  /** Connections of clients to the whole server that run a statement now; the one that asks is not counted. */
  readonly activeConnections?: (timeoutMs: number) => Promise<number>;
  /**
   * How long ago the store was where its slowest standby is now, milliseconds; 0: all are level. null: no standby is known. Standbys that
   * stand still count too, from the first question on in which they were behind.
   */
  readonly replicationLagMs?: (timeoutMs: number) => Promise<number | null>;
  /** The single value that a query of the operator answers; nothing that it writes is kept, or it is refused. Anything but one number or boolean throws. */
  readonly measure?: (query: string, timeoutMs: number) => Promise<number | boolean>;
}
