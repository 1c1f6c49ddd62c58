export { startWorker, type Worker, type WorkerTask } from './worker.ts';
export { type WorkerOptions, workerDefaults } from './worker-options.ts';
