/** What the pause of a change of authority consists of. */
export type PausePartName =
  | 'acknowledge'
  | 'traffic'
  | 'queue'
  | 'log'
  | 'transactions'
  | 'guard'
  | 'in-doubt'
  | 'sequences'
  | 'control';

export interface PausePart {
  readonly part: PausePartName;
  readonly ms: number;
  /** What it was computed from, with values. */
  readonly why: string;
}
