export type {
  ChangeQueue,
  DeadLetter,
  QueueDepth,
  QueuedChange,
  QueueEntry,
} from './change-queue.ts';
