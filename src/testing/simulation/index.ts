export { Scheduler, type SimulatedProcess } from './scheduler.ts';
export { type NetworkBehaviour, SimulatedNetwork } from './simulated-network.ts';
export { type SimulatedHost, simulatedRuntime } from './simulated-runtime.ts';
export { Trace } from './trace.ts';
export { type HistoryEntry, Truth, type TruthOptions } from './truth.ts';
export { type Guarantee, Violation } from './violation.ts';
