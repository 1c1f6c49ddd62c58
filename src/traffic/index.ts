export type { TrafficHook } from './traffic-hook.ts';
