export { startWorker, type Worker } from './worker.ts';
export { type WorkerOptions, workerDefaults } from './worker-options.ts';
