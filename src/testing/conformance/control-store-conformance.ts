import { systemClock } from '../../runtime/index.ts';
import { checkpointFacts } from './checkpoint-facts.ts';
import type { ControlFact, ControlStoreSubject } from './control-store-subject.ts';
import { evidenceFacts } from './evidence-facts.ts';
import { fleetFacts } from './fleet-facts.ts';
import { gapFacts } from './gap-facts.ts';
import { memoFacts } from './memo-facts.ts';
import { mismatchFacts } from './mismatch-facts.ts';
import { sampleFacts } from './sample-facts.ts';
import { stateFacts } from './state-facts.ts';
import { watchFacts } from './watch-facts.ts';

export type { ControlStoreSubject, ControlStores } from './control-store-subject.ts';

/** Registers what every control store has to do. */
export function registerControlStoreConformance(subject: ControlStoreSubject): void {
  const clock = subject.clock ?? systemClock;
  subject.framework.describe(`${subject.name}: control store`, () => {
    const fact: ControlFact = (title, body) => {
      subject.framework.test(title, async () => {
        const stores = await subject.open();
        try {
          await body(stores, clock);
        } finally {
          await stores.close();
        }
      });
    };
    stateFacts(fact);
    watchFacts(fact);
    fleetFacts(fact);
    evidenceFacts(fact);
    mismatchFacts(fact);
    checkpointFacts(fact);
    gapFacts(fact);
    sampleFacts(fact);
    memoFacts(fact);
  });
}
