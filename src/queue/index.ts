export type {
  ChangeQueue,
  DeadLetter,
  QueueDepth,
  QueuedChange,
  QueueEntry,
  QueueStanding,
} from './change-queue.ts';
