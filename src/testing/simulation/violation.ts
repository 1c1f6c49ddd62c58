/** The guarantees of docs/guarantees.md that the simulation judges; `H` is honesty: what a caller was told is so. */
export type Guarantee = 'G1' | 'G2' | 'G3' | 'G4' | 'G5' | 'G6' | 'G7' | 'H';

/** A guarantee that was broken in a simulated world. */
export class Violation extends Error {
  readonly guarantee: Guarantee;
  /** What it is about, to be looked for in the trace: a key, an instance. */
  readonly subject: string;

  constructor(guarantee: Guarantee, subject: string, message: string) {
    super(`${guarantee} broken, ${subject}: ${message}`);
    this.name = 'Violation';
    this.guarantee = guarantee;
    this.subject = subject;
  }
}
