import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MismatchClass, Scalar } from '../../src/record/index.ts';
import { classifyFields, classifyRecord, classifyValues } from '../../src/verify/classify.ts';

/** Printed by fast-check with each failure; the same in every run of CI. */
const seed = 20_251_121;
const runs = { numRuns: 100, seed } as const;

/** Generated pairs of one class: [expected, actual]. */
function named(pairs: fc.Arbitrary<readonly [Scalar, Scalar]>, wanted: MismatchClass): void {
  fc.assert(
    fc.property(pairs, ([expected, actual]) => {
      fc.pre(expected !== actual);
      expect(classifyValues(expected, actual), JSON.stringify([expected, actual])).toBe(wanted);
    }),
    runs,
  );
}

const two = (value: number): string => String(value).padStart(2, '0');
const words = fc
  .array(fc.stringMatching(/^[A-Za-zéüßñçàłøÉÜ]{1,9}$/), { minLength: 1, maxLength: 5 })
  .map((parts) => parts.join(' '));
const accented = fc.tuple(words, words).map(([a, b]) => `${a} Zoë Müller ${b}`);
const emoji = fc.constantFrom('😀', '🎬', '👩‍💻', '🇩🇪', '𠜎');
const date = fc
  .tuple(
    fc.integer({ min: 1971, max: 2037 }),
    fc.integer({ min: 1, max: 12 }),
    fc.integer({ min: 1, max: 28 }),
  )
  .map(([year, month, day]) => `${year}-${two(month)}-${two(day)}`);
const clock = fc
  .tuple(
    fc.integer({ min: 0, max: 23 }),
    fc.integer({ min: 0, max: 59 }),
    fc.integer({ min: 0, max: 59 }),
  )
  .map(([hour, minute, second]) => `${two(hour)}:${two(minute)}:${two(second)}`);
const micros = fc.integer({ min: 1, max: 999_999 }).map((value) => String(value).padStart(6, '0'));
const decimal = fc
  .tuple(fc.integer({ min: -99_999, max: 99_999 }), fc.integer({ min: 1, max: 9_999 }))
  .map(([whole, rest]) => `${whole}.${String(rest).padStart(4, '0')}`);

const recode = (text: string, times: number): string =>
  times === 0 ? text : recode(Buffer.from(text, 'utf8').toString('latin1'), times - 1);

describe('a class is named from two values', () => {
  test('missing and lost values', () => {
    named(
      words.map((text) => [text, null] as const),
      'field-missing',
    );
    named(fc.constantFrom(['', null] as const, [null, ''] as const), 'null-versus-empty');
    expect(classifyValues('0000-00-00 00:00:00', null)).toBe('null-versus-empty');
    expect(classifyValues(null, 'default')).toBe('unknown');
  });

  test('times that lost digits', () => {
    const cut = fc
      .tuple(
        date,
        clock,
        micros,
        fc.integer({ min: 0, max: 5 }),
        fc.constantFrom('', '+00', '+05:30'),
      )
      .map(([day, at, rest, digits, zone]) => {
        const kept = digits === 0 ? '' : `.${rest.slice(0, digits)}`;
        return [`${day} ${at}.${rest}${zone}`, `${day} ${at}${kept}${zone}`] as const;
      })
      .filter(([fine, coarse]) => fine.replace(/0+(?=$|\+)/, '') !== coarse);
    named(cut, 'timestamp-precision');
    expect(classifyValues('2020-02-28 23:59:59.6', '2020-02-29 00:00:00')).toBe(
      'timestamp-precision',
    );
    expect(classifyValues('2020-02-28 13:07:59', '2020-02-28')).toBe('timestamp-precision');
    expect(classifyValues('2020-02-28 13:07:59', '2020-02-28 00:00:00')).toBe(
      'timestamp-precision',
    );
    expect(classifyValues('2020-02-28 13:07:59.9', '2020-02-28 13:08:01')).toBe('unknown');
  });

  test('times in another zone', () => {
    const away = fc
      .tuple(
        date,
        clock,
        micros,
        fc.integer({ min: -56, max: 56 }).filter((quarters) => quarters !== 0),
      )
      .map(([day, at, rest, quarters]) => {
        const ms = Date.parse(`${day}T${at}Z`) + quarters * 900_000;
        const moved = new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
        return [`${day} ${at}.${rest}`, `${moved}.${rest}`] as const;
      });
    named(away, 'time-zone');
    expect(classifyValues('2020-01-01 12:00:00+00', '2020-01-01 12:00:00+02')).toBe('time-zone');
    expect(classifyValues('2020-01-01 12:00:00', '2020-01-01 12:00:00+02')).toBe('time-zone');
    expect(classifyValues('12:30:10', '23:30:10')).toBe('time-zone');
    expect(classifyValues('2020-01-01 12:00:00', '2020-01-01 12:07:00')).toBe('unknown');
    expect(classifyValues('2020-01-01 12:00:00', '2020-01-02 12:00:00')).toBe('unknown');
  });

  test('numbers that lost digits', () => {
    named(
      fc.tuple(decimal, fc.integer({ min: 0, max: 3 })).map(([text, digits]) => {
        const cut = text.slice(0, text.indexOf('.') + 1 + digits).replace(/\.$/, '');
        return [text, cut] as const;
      }),
      'numeric-precision',
    );
    named(
      decimal.map((text) => [text, String(Math.fround(Number(text)))] as const),
      'numeric-precision',
    );
    named(
      fc
        .bigInt({ min: 9_007_199_254_740_993n, max: 9_223_372_036_854_775_807n })
        .map((value) => [String(value), String(BigInt(Number(value)))] as const),
      'numeric-precision',
    );
    expect(classifyValues('1.50', '1.5')).toBe('numeric-precision');
    expect(classifyValues('100000', '1e+05')).toBe('numeric-precision');
    expect(classifyValues('123456789', '1.23457e+08')).toBe('numeric-precision');
    expect(classifyValues('0.125', '0.12')).toBe('numeric-precision');
    expect(classifyValues('0.125', '0.14')).toBe('unknown');
    expect(classifyValues('7.25', '-7.25')).toBe('unknown');
  });

  test('texts that were recoded', () => {
    named(
      fc
        .tuple(accented, fc.integer({ min: 1, max: 2 }))
        .map(([text, times]) => [text, recode(text, times)] as const),
      'text-encoding',
    );
    named(
      accented.map((text) => [text.normalize('NFC'), text.normalize('NFD')] as const),
      'text-encoding',
    );
    const marks = fc.constantFrom('?', '??', '????', '\ufffd', '');
    named(
      fc.tuple(words, emoji, words, marks).map(([a, face, b, mark]) => {
        const broken = [...face].map((one) => (one.length === 2 ? mark : one)).join('');
        return [`${a}${face}${b}`, `${a}${broken}${b}`] as const;
      }),
      'text-encoding',
    );
    named(
      fc.tuple(words, emoji, words).map(([a, face, b]) => [`${a}${face}${b}`, a] as const),
      'text-encoding',
    );
    // Curly quotes and the euro sign lie where latin1 and Windows-1252 part.
    expect(classifyValues('5 € “net”', '5 â‚¬ â€œnetâ€\u009d')).toBe('text-encoding');
    expect(classifyValues('Müller', 'M?ller')).toBe('text-encoding');
    expect(classifyValues('Müller', 'M\ufffd\ufffdller')).toBe('text-encoding');
    expect(classifyValues('Köln', 'K\ufffd')).toBe('text-encoding');
    expect(classifyValues('Köln', 'Kiel')).toBe('unknown');
    expect(classifyValues('What?', 'What')).toBe('unknown');
  });

  test('what is filled up, folded, true or shaped otherwise', () => {
    named(
      fc
        .tuple(words, fc.integer({ min: 1, max: 20 }))
        .map(([text, spaces]) => [text, text + ' '.repeat(spaces)] as const),
      'padding',
    );
    expect(classifyValues('7', '007')).toBe('padding');
    expect(classifyValues('\\x6162', '\\x61620000')).toBe('padding');
    named(
      words
        .map((text) => [text, text.toUpperCase()] as const)
        .filter(([text]) => !/^[a-z]{1,5}$/i.test(text)),
      'collation',
    );
    expect(classifyValues('José', 'jose')).toBe('collation');
    expect(classifyValues('Straße', 'STRASSE')).toBe('collation');
    named(
      fc.constantFrom(
        ['true', '1'] as const,
        ['t', '1'] as const,
        ['0', 'false'] as const,
        ['yes', 'true'] as const,
        ['\\x01', 'true'] as const,
      ),
      'boolean-number',
    );
    expect(classifyValues('1', '2', { kind: 'boolean' })).toBe('boolean-number');
    expect(classifyValues('true', '0')).toBe('unknown');
    expect(classifyValues('t', 'y')).toBe('unknown');
  });

  test('the same JSON, and JSON that holds another value', () => {
    const leaf = fc.oneof(words, fc.integer(), fc.boolean(), fc.constant(null));
    const object = fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), leaf, {
      minKeys: 2,
      maxKeys: 6,
    });
    named(
      object.map((value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        return [JSON.stringify(value), JSON.stringify(turned, null, 1)] as const;
      }),
      'json-shape',
    );
    expect(classifyValues('{"a":1.50,"b":1e2}', '{"b":100,"a":1.5}')).toBe('json-shape');
    expect(classifyValues('{"a":1,"a":2}', '{"a":2}')).toBe('json-shape');
    expect(classifyValues('{"a":1}', '{"a":1}  ')).toBe('padding');
    expect(classifyValues('{"a":1}', '{"a":1}  ', { kind: 'json' })).toBe('json-shape');
    expect(classifyValues('{"a":1}', '{"a":1}\n')).toBe('json-shape');
    expect(classifyValues('{"a":9007199254740993}', '{"a":9007199254740992}')).toBe(
      'numeric-precision',
    );
    expect(classifyValues('{"city":"Köln"}', '{"city":"KÃ¶ln"}')).toBe('text-encoding');
    expect(classifyValues('{"a":1}', '{"a":1,"b":2}')).toBe('unknown');
    expect(classifyValues('{"a":"x"}', '{"a":"y"}')).toBe('unknown');
    expect(classifyValues('{"a":1}', '{"a":"1"}')).toBe('unknown');
  });
});

describe('what is not understood is unknown', () => {
  /** How often two values that have nothing to do with each other are given a specific class. */
  function falselyNamed<T>(values: fc.Arbitrary<T>, spell: (value: T) => string): number {
    let compared = 0;
    let wrong = 0;
    for (const [a, b] of fc.sample(fc.tuple(values, values), { numRuns: 2_000, seed })) {
      const [expected, actual] = [spell(a), spell(b)];
      if (expected === actual) continue;
      compared += 1;
      if (classifyValues(expected, actual) !== 'unknown') wrong += 1;
    }
    return wrong / compared;
  }

  test('random values of any kind are hardly ever given another name', () => {
    const text = (value: string): string => value;
    expect(
      falselyNamed(fc.string({ minLength: 3, maxLength: 30, unit: 'grapheme' }), text),
    ).toBeLessThan(0.001);
    expect(
      falselyNamed(
        words.filter((one) => one.length > 4),
        text,
      ),
    ).toBeLessThan(0.001);
    expect(falselyNamed(fc.integer(), String)).toBeLessThan(0.001);
    expect(falselyNamed(decimal, text)).toBeLessThan(0.001);
    expect(falselyNamed(fc.double({ noNaN: true }), String)).toBeLessThan(0.01);
    const moment = fc.tuple(date, clock, micros).map(([day, at, rest]) => `${day} ${at}.${rest}`);
    expect(falselyNamed(moment, text)).toBeLessThan(0.001);
    expect(falselyNamed(fc.uuid(), text)).toBe(0);
    expect(falselyNamed(fc.json(), text)).toBeLessThan(0.02);
  });

  test('two causes at once are no class', () => {
    expect(classifyValues('2020-01-01 12:00:00.5', '2020-01-01 14:00:00')).toBe('unknown');
    expect(classifyValues('José', 'JosÃ© ')).toBe('unknown');
    expect(classifyValues('12.345', '12.36')).toBe('unknown');
  });

  test('a long value takes no longer than its length', () => {
    const long = `${' '.repeat(200_000)}x`;
    expect(classifyValues(long, `${long}y`)).toBe('unknown');
    expect(classifyValues(`\\x${'00'.repeat(100_000)}01`, '\\x01')).toBe('unknown');
  });

  test('any two texts are classified, whatever they hold', () => {
    const anything = fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.constant(null));
    fc.assert(
      fc.property(anything, anything, (a, b) => {
        classifyValues(a, b);
      }),
      runs,
    );
  });
});

describe('the class of a record', () => {
  const field = (name: string, expected: Scalar, actual: Scalar) => ({
    field: name,
    expected,
    actual,
  });
  const classOf = (...fields: ReturnType<typeof field>[]): MismatchClass =>
    classifyRecord({ kind: 'different', fields: classifyFields(fields, null) });

  test('is the kind when one side has nothing, and unknown when nothing can be told', () => {
    expect(classifyRecord({ kind: 'missing', fields: [] })).toBe('missing');
    expect(classifyRecord({ kind: 'extra', fields: [] })).toBe('extra');
    expect(classifyRecord({ kind: 'different', fields: [] })).toBe('unknown');
  });

  test('is the first of its fields’ classes, so that nothing understood hides what is not', () => {
    expect(classOf(field('a', 'x', 'X'), field('b', '1.5', '1'))).toBe('numeric-precision');
    expect(classOf(field('a', 'x', 'X'), field('b', 'one', 'two'))).toBe('unknown');
    expect(classOf(field('a', 'x', 'X'), field('lines["7"]', 'present', null))).toBe('missing');
    expect(classOf(field('a', 'x', 'X'), field('lines["7"]', null, 'present'))).toBe('extra');
  });

  test('is stale when its own change mark is older on the follower', () => {
    const name = field('name', 'new', 'old');
    const older = field('updated_at', '2024-05-05 10:00:07', '2024-05-01 09:12:00');
    expect(classOf(name, older)).toBe('stale');
    expect(classOf(name, field('version', '8', '7'))).toBe('stale');
    expect(classOf(name, field('updated_at', '2024-05-01 09:12:00', '2024-05-05 10:00:07'))).toBe(
      'unknown',
    );
    // The same moment in another zone is no older one.
    expect(classOf(field('updated_at', '2024-05-05 10:00:07', '2024-05-05 08:00:07'))).toBe(
      'time-zone',
    );
  });

  test('says what the authority itself holds where it spells it otherwise', () => {
    const fields = [field('total_cents', '1250', '1200'), field('city', 'Köln', 'Bonn')];
    const found = classifyFields(fields, { total_cents: '12.50', city: 'Köln' });
    expect(found.map(({ raw }) => raw)).toEqual(['12.50', undefined]);
  });
});
