import type { AlignedOptions } from './aligned-options.ts';
import {
  alignedScope,
  isNotAligned,
  lasting,
  type NotAligned,
  openPair,
  pairScope,
} from './aligned-pair.ts';
import { QueueAlignment } from './aligned-queue.ts';
import { confirmKeys, settleKeys } from './aligned-settle.ts';
import type { Alignment } from './alignment.ts';
import type { VerifyScope } from './verify-scope.ts';

/** How this collection can be compared at one position, or why it cannot. */
export function alignmentOf(scope: VerifyScope, options: AlignedOptions): Alignment | NotAligned {
  const { capture } = scope.collection;
  // Who writes past the library leaves no entry, so the queue's numbers are no position of the whole collection.
  if (capture === 'app') return lasting(`with capture "app" the two stores share no position`);
  if (capture === 'outbox') {
    const pair = pairScope(scope, options);
    return isNotAligned(pair) ? pair : new QueueAlignment(pair);
  }
  const aligned = alignedScope(scope, options);
  if (isNotAligned(aligned)) return aligned;
  return {
    by: 'log',
    options: aligned.options,
    open: () => openPair(aligned),
    settle: (comparator, pair, keys) => settleKeys(aligned, comparator, pair, keys),
    confirm: (comparator, place, doubtful) => confirmKeys(aligned, comparator, place, doubtful),
  };
}
