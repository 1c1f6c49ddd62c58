import assert from 'node:assert/strict';
import type { ControlStore, NewAuditEntry } from '../../control/index.ts';
import { isRefusal, type MigrationState, transition } from '../../migration/index.ts';
import { migration } from './control-store-subject.ts';

/** A line for the audit. */
export const audit = (action: string, detail: NewAuditEntry['detail'] = {}): NewAuditEntry => ({
  actor: 'tester@here',
  action,
  reason: 'because',
  detail,
});

/** Any next state: background work held or resumed. */
export function toggled(state: MigrationState): MigrationState {
  const next =
    state.phase === 'off'
      ? transition(state, { type: 'start', shadow: false })
      : transition(state, { type: state.workHeld ? 'resume-work' : 'hold-work' });
  assert(!isRefusal(next));
  return next;
}

/** Commits any next state. */
export async function advance(store: ControlStore, action = 'step'): Promise<MigrationState> {
  const next = toggled(await store.load(migration));
  assert.equal(await store.commit(next, audit(action)), true);
  return next;
}

/** An instance of the fleet with the state version that it has acknowledged. */
export const instance = (id: string, acknowledgedVersion: number) => ({
  id,
  kind: 'router' as const,
  label: `host:${id}`,
  acknowledgedVersion,
});
