import { describe, expect, test } from 'vitest';
import { memoryControl } from '../../src/adapters/memory/index.ts';
import {
  createRedactor,
  hideValues,
  isRedacted,
  type Mismatch,
  openRedactor,
  redactingLedger,
} from '../../src/control/index.ts';
import { systemRuntime } from '../../src/runtime/index.ts';
import { itemsCollection } from '../support/engine-fixture.ts';

const migrationWith = (redact: readonly string[] | 'all') => ({
  name: 'shop',
  collections: new Map([['items', itemsCollection({ redact })]]),
});

const seen = (differences: Mismatch['differences']): Mismatch => ({
  collection: 'items',
  key: '["1"]',
  kind: 'different',
  status: 'open',
  detector: 'verify',
  differences,
  firstSeenMs: 1,
  lastSeenMs: 1,
  rechecks: 1,
  note: '',
});

describe('redacted values', () => {
  test('equal values stay equal and others differ, under one secret only', () => {
    const [one, other] = [createRedactor('a'), createRedactor('b')];
    expect(one.hide('ada@example.org')).toBe(createRedactor('a').hide('ada@example.org'));
    expect(one.hide('ada@example.org')).not.toBe(one.hide('ada@example.com'));
    expect(one.hide('ada@example.org')).not.toBe(other.hide('ada@example.org'));
    expect(one.hide('ada@example.org')).toMatch(/^#[0-9a-f]{12} \(8–15 characters\)$/);
  });

  test('NULL and the empty text are told apart', () => {
    expect(createRedactor('a').hide(null)).toBeNull();
    expect(createRedactor('a').hide('')).toBe('');
  });

  test('a field is meant by its name, those of child rows by theirs', () => {
    const migration = migrationWith(['email', 'contacts.value']);
    expect(isRedacted(migration, 'items', 'email')).toBe(true);
    expect(isRedacted(migration, 'items', 'contacts["7","fax"].value')).toBe(true);
    expect(isRedacted(migration, 'items', 'contacts["7","fax"].kind')).toBe(false);
    expect(isRedacted(migration, 'another', 'email')).toBe(false);
    expect(isRedacted(migrationWith('all'), 'items', 'anything')).toBe(true);
  });

  test('hiding twice hides once, and the class stays', () => {
    const redactor = createRedactor('a');
    const given = [
      { field: 'email', expected: 'é', actual: 'Ã©', raw: 'é ', class: 'text-encoding' as const },
    ];
    const once = hideValues(migrationWith(['email']), 'items', given, redactor);
    expect(JSON.stringify(once)).not.toMatch(/é|Ã/);
    expect(once[0]).toMatchObject({ class: 'text-encoding', hidden: true });
    expect(hideValues(migrationWith(['email']), 'items', once, redactor)).toEqual(once);
  });

  test('processes without a configured secret draw one and share it', async () => {
    const connector = memoryControl();
    const [one, other] = await Promise.all([
      connector.connect(systemRuntime),
      connector.connect(systemRuntime),
    ]);
    const [a, b] = await Promise.all(
      [one, other].map((control) => openRedactor(control, 'shop', null, systemRuntime)),
    );
    expect(a?.hide('x')).toBe(b?.hide('x'));
    const configured = await openRedactor(one, 'shop', 'own', systemRuntime);
    expect(configured.hide('x')).toBe(createRedactor('own').hide('x'));
  });

  test('no redacted value arrives in the ledger, and what is there already is hidden when read', async () => {
    const control = await memoryControl().connect(systemRuntime);
    const differences = [
      { field: 'email', expected: 'ada@example.org', actual: null },
      { field: 'city', expected: 'Köln', actual: 'Bonn' },
    ];
    // As an earlier release, or an earlier configuration, left it.
    await control.mismatches.record('shop', [{ ...seen(differences), key: '["0"]' }]);
    const ledger = redactingLedger(control.mismatches, migrationWith(['email']), () =>
      Promise.resolve(createRedactor('a')),
    );
    await ledger.record('shop', [seen(differences)]);
    expect(JSON.stringify(await control.mismatches.find('shop', seen([])))).not.toContain('ada@');
    const shown = JSON.stringify(await ledger.list('shop', { limit: 10 }));
    expect(shown).not.toContain('ada@');
    expect(shown.match(/#[0-9a-f]{12}/g)).toHaveLength(2);
    expect(shown).toContain('Bonn');
  });
});
