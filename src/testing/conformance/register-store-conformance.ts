import { changeSourceFacts } from './change-source-facts.ts';
import { changeSourceResumeFacts } from './change-source-resume-facts.ts';
import { chunkFacts } from './chunk-facts.ts';
import { type ConformanceSubject, factsOf, logFactsOf } from './conformance-subject.ts';
import { doorFacts } from './door-facts.ts';
import { guardFacts } from './guard-facts.ts';
import { logDoorFacts } from './log-door-facts.ts';
import { logRereadFacts } from './log-reread-facts.ts';
import { openFacts } from './open-facts.ts';
import { queueFacts } from './queue-facts.ts';
import { readFacts } from './read-facts.ts';
import { setupFacts } from './setup-facts.ts';
import { snapshotFacts } from './snapshot-facts.ts';
import { writeFacts } from './write-facts.ts';

/**
 * Registers the conformance suite for a store adapter: about a hundred facts that every `MigrationStore` has to hold,
 * each with fresh stores of its own. Facts are skipped only by declared capability.
 *
 * ```ts
 * import { describe, test } from 'vitest';
 * registerStoreConformance({ name: 'mine', framework: { describe, test }, capabilities, refusesForbidden: true, open });
 * ```
 */
export function registerStoreConformance(subject: ConformanceSubject): void {
  const fact = factsOf(subject);
  const { describe } = subject.framework;
  describe(`${subject.name}: store conformance`, () => {
    describe('reads', () => readFacts(fact));
    describe('writes', () => writeFacts(fact));
    describe('door', () => doorFacts(fact, subject));
    describe('open changes', () => openFacts(fact));
    describe('chunks', () => chunkFacts(fact, subject));
    describe('queue', () => queueFacts(fact));
    describe('guard', () => guardFacts(fact, subject));
    describe('setup', () => setupFacts(factsOf(subject, false), fact, subject));
    const { openLogged } = subject;
    if (!openLogged) return;
    const logFact = logFactsOf(subject, () => openLogged.call(subject));
    describe('log door', () => logDoorFacts(logFact, subject));
    if (subject.readsLog === false) return;
    describe('change source', () => changeSourceFacts(logFact));
    describe('change source, resumed', () => changeSourceResumeFacts(logFact));
    describe('change source, re-reads', () => logRereadFacts(logFact));
    if (subject.snapshots === false) return;
    describe('snapshots', () => snapshotFacts(logFact));
  });
}
