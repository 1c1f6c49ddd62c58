/** The two stores of a migration. Fixed for its life. */
export type Side = 'source' | 'target';

/** The other store. */
export const otherSide = { source: 'target', target: 'source' } as const satisfies Record<
  Side,
  Side
>;

/** Where a migration stands, in forward order. See SPEC.md. */
export const phases = [
  'off',
  'shadow-write',
  'dual-write',
  'backfill',
  'shadow-read',
  'read-switch',
  'write-switch',
  'retired',
] as const;

export type Phase = (typeof phases)[number];

/** 0 for `off` … 7 for `retired`. */
export function phaseOrder(phase: Phase): number {
  return phases.indexOf(phase);
}

export function isPhase(text: string): text is Phase {
  return (phases as readonly string[]).includes(text);
}
