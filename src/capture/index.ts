export { type ApplierOptions, applierDefaults, type DrainRound, drainOnce } from './applier.ts';
export { drainUntilEmpty } from './drain.ts';
