export { giveWay } from './background-process.ts';
export { startWorker, type Worker } from './worker.ts';
export { type WorkerOptions, type WorkerOptionsInput, workerDefaults } from './worker-options.ts';
