import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { axisFromZero, axisOfMinutes, axisOfNines, nines } from '../../src/report/axis.ts';
import { asJson, canonicalJson } from '../../src/report/canonical-json.ts';
import { checkReport } from '../../src/report/check-report.ts';
import { detailTexts } from '../../src/report/detail-text.ts';
import { escapeHtml, escapeJsonInHtml, escapeMarkdown } from '../../src/report/escape.ts';
import { boundArithmetic } from '../../src/report/parity-facts.ts';
import { plotHtml } from '../../src/report/plot-svg.ts';
import type { ReportFormat } from '../../src/report/seal.ts';
import { reportFormats, writeReport } from '../../src/report/write-report.ts';
import { madeUpReport } from '../support/made-up-report.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

describe('canonical JSON', () => {
  test('equal values have one text, in whatever order their keys were written', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 2 })),
        (value) => {
          const json = asJson(value);
          const turned = Object.fromEntries(Object.entries(json as object).toReversed());
          expect(canonicalJson(asJson(turned))).toBe(canonicalJson(json));
          expect(JSON.parse(canonicalJson(json))).toEqual(JSON.parse(JSON.stringify(json)));
        },
      ),
      { numRuns: 50 },
    );
  });

  test('keys stand in the order of their code units, without white space', () => {
    expect(canonicalJson({ b: 1, a: [true, null, 'x"'], '€': -0.5, A: 1e21 })).toBe(
      '{"A":1e+21,"a":[true,null,"x\\""],"b":1,"€":-0.5}',
    );
  });

  test('what JSON cannot say becomes text, or goes', () => {
    const odd = {
      big: 7n,
      far: Number.POSITIVE_INFINITY,
      gone: undefined,
      run: () => 1,
      half: '\ud800',
    };
    expect(asJson(odd)).toEqual({ big: '7', far: 'Infinity', half: '\ufffd' });
  });
});

describe.each(reportFormats)('a report as %s', (format: ReportFormat) => {
  const { text, seal } = writeReport(madeUpReport(), format, null);

  test('is intact as it was written, and says the digest that the other formats say', () => {
    const found = checkReport(bytes(text), null);
    expect(found).toMatchObject({ verdict: 'intact', format, altered: [], signature: 'unsigned' });
    expect(found.dataSha256).toBe(writeReport(madeUpReport(), 'json', null).seal.data);
    expect(writeReport(madeUpReport(), format, null).text).toBe(text);
  });

  test('is not intact when any one of its bytes is another', () => {
    const whole = bytes(text);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = Buffer.from(whole);
        altered[at] = (altered[at] ?? 0) ^ change;
        expect(checkReport(altered, null).verdict).not.toBe('intact');
      }),
      { numRuns: 150 },
    );
  });

  test('is not intact when something is cut off or added', () => {
    const whole = bytes(text);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), (length) => {
        expect(checkReport(whole.subarray(0, length), null).verdict).not.toBe('intact');
      }),
      { numRuns: 50 },
    );
    for (const more of [' ', '\n', '\ufeff']) {
      expect(checkReport(bytes(text + more), null).verdict).toBe('altered');
      expect(checkReport(bytes(more + text), null).verdict).toBe('altered');
    }
  });

  test('that was signed is valid with its key alone', () => {
    const signed = bytes(writeReport(madeUpReport(), format, 'secret').text);
    expect(checkReport(signed, 'secret')).toMatchObject({ verdict: 'intact', signature: 'valid' });
    expect(checkReport(signed, 'other')).toMatchObject({
      verdict: 'altered',
      signature: 'invalid',
    });
    expect(checkReport(signed, null)).toMatchObject({ verdict: 'intact', signature: 'unchecked' });
    expect(checkReport(bytes(text), 'secret').altered).toEqual(['it is not signed']);
  });

  test('that somebody seals anew without the key is not intact with the key', () => {
    const resealed = writeReport(madeUpReport({ by: 'somebody else' }), format, 'guessed');
    expect(checkReport(bytes(resealed.text), 'secret').verdict).toBe('altered');
  });

  test('holds no secret of its maker', () => {
    expect(writeReport(madeUpReport(), format, 'secret').text).not.toContain('secret');
    expect(seal.signature).toBeNull();
  });
});

test('a check names the section that was altered, or the data, or the ends of lines', () => {
  const md = writeReport(madeUpReport(), 'md', null).text;
  expect(checkReport(bytes(md.replace('fail', 'pass')), null).altered).toEqual([
    'section "Phases"',
  ]);
  const html = writeReport(madeUpReport(), 'html', null).text;
  expect(
    checkReport(bytes(html.replace('<td class="bad">fail', '<td>pass')), null).altered,
  ).toEqual(['section "history"']);
  expect(checkReport(bytes(html.replaceAll('"fleet":[', '"fleet":[{},')), null).altered).toEqual([
    'section "report-data"',
    'data "fleet"',
  ]);
  const json = writeReport(madeUpReport(), 'json', null).text;
  expect(
    checkReport(bytes(json.replace('"mismatches":{', '"mismatches":{"x":1,')), null).altered,
  ).toEqual(['section "report"', 'data "mismatches"']);
  expect(checkReport(bytes(md.replaceAll('\n', '\r\n')), null).altered[0]).toMatch(/CRLF/);
});

test('a file that is no report is called foreign', () => {
  for (const text of ['', '{}', '# Notes\n', '<!doctype html>', '\u0000'])
    expect(checkReport(bytes(text), null).verdict).toBe('foreign');
});

describe('names and texts of other people', () => {
  const nasty =
    'a<script>alert(1)</script>"\'|`*_[x](http://y)\n## Phases\n--><!-- x ]]> & &amp; \u202e\u0007';
  const data = madeUpReport({ nasty });

  test('make no element, attribute, comment or script in HTML', () => {
    const { text } = writeReport(data, 'html', null);
    expect(text.match(/<script/g)).toHaveLength(1);
    expect(text).not.toContain('<!-- x');
    expect(text.match(/<!--/g)).toHaveLength(1);
    expect(text).not.toContain('\u202e');
    expect(checkReport(bytes(text), null).verdict).toBe('intact');
    const json = /id="report-data">(.*)<\/script>/.exec(text)?.[1] ?? '';
    expect(JSON.parse(json)).toEqual(asJson(data));
  });

  test('make no heading, row, link or comment in Markdown', () => {
    const { text } = writeReport(data, 'md', null);
    const plain = writeReport(madeUpReport(), 'md', null).text;
    const shape = (one: string) => one.split('\n').map((line) => line.replace(/\\.|[^|#]/g, ''));
    expect(shape(text)).toEqual(shape(plain));
    expect(text.match(/<!--/g)).toHaveLength(1);
    expect(text).not.toMatch(/[^\\]<script|[^\\]\]\(/);
  });

  test('are escaped one by one', () => {
    expect(escapeHtml(`<a b="c" d='e'>&\n\u2028`)).toBe(
      '&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp; ',
    );
    expect(escapeMarkdown('| x |\n- y')).toBe('\\| x \\| - y');
    // A soft hyphen, and marks that turn the direction of what follows.
    expect(escapeHtml('a\u00adb\u061cc\u202ed')).toBe('a\ufffdb\ufffdc\ufffdd');
    expect(escapeMarkdown('- y')).toBe('\\- y');
    expect(escapeMarkdown('1. y')).toBe('1\\. y');
    expect(JSON.parse(escapeJsonInHtml('"</script><!--"'))).toBe('</script><!--');
  });
});

test('details of notes keep keys and values of records to themselves', () => {
  const detail = { key: ['7'], compared: 3, nested: { expected: 'Anna', digest: 'ab' }, keys: [1] };
  expect(detailTexts(detail)).toEqual({ compared: '3', 'nested.digest': 'ab' });
  expect(detailTexts(detail, new Set(['compared']), true)).toMatchObject({ keys: '1' });
});

describe('axes', () => {
  test('of nothing, of zero and of one value are drawn', () => {
    expect(axisFromZero([]).high).toBe(1);
    expect(axisFromZero([0]).high).toBe(1);
    expect(axisFromZero([7]).ticks.map(({ at }) => at)).toEqual([0, 2, 4, 6, 8]);
    expect(axisOfMinutes([]).ticks).toEqual([]);
    expect(axisOfMinutes([100])).toMatchObject({ low: 99, high: 101 });
  });

  test('begin at zero, hold every value and have few marks, however large the values are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1e300, noNaN: true }), { minLength: 1 }),
        (values) => {
          const { low, high, ticks } = axisFromZero(values);
          expect(low).toBe(0);
          expect(high).toBeGreaterThanOrEqual(Math.max(...values) * (1 - 1e-9));
          expect(ticks.length).toBeLessThanOrEqual(7);
          expect(ticks.length).toBeGreaterThanOrEqual(2);
        },
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.nat(5e7), { minLength: 1 }), (minutes) => {
        const { low, high, ticks } = axisOfMinutes(minutes);
        expect([low <= Math.min(...minutes), high >= Math.max(...minutes)]).toEqual([true, true]);
        expect(ticks.length).toBeLessThanOrEqual(8);
      }),
    );
  });

  test('of shares near 1 count nines', () => {
    expect([nines(0), nines(0.9), nines(1)]).toEqual([0, 1, 16]);
    expect(axisOfNines([0.9995]).ticks.map(({ label }) => label)).toEqual([
      '0 %',
      '90 %',
      '99 %',
      '99.9 %',
      '99.99 %',
    ]);
  });
});

describe('a plot', () => {
  const plot = (points: readonly (readonly [number, number])[]) =>
    plotHtml(
      {
        kind: 'plot',
        title: 'Lag',
        unit: 's',
        scale: 'from-zero',
        series: [{ plot: 'lag', name: 'x', points }],
      },
      0,
    );

  test('of nothing says so, of one point shows it, and is never not a number', () => {
    expect(plot([])).toContain('Nothing was measured');
    expect(plot([[5, 3]])).toContain('<circle');
    const huge = plot(
      Array.from({ length: 3_000 }, (_, index) => [index * 7, 1e12 * index] as const),
    );
    for (const svg of [plot([[5, 0]]), huge]) expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test('shows a time in which nothing was measured as a gap', () => {
    expect(
      plot([
        [1, 1],
        [2, 1],
        [3, 1],
      ]).match(/<path class="line/g),
    ).toHaveLength(1);
    expect(
      plot([
        [1, 1],
        [2, 1],
        [60, 1],
        [61, 1],
      ]).match(/<path class="line/g),
    ).toHaveLength(2);
  });

  test('has a title and a description for those who cannot see it', () => {
    expect(
      plot([
        [1, 1],
        [2, 4],
      ]),
    ).toMatch(/<title id="plot-0-title">Lag<.*smallest 1 s, largest 4 s, last 4 s/);
  });
});

test('the arithmetic of a bound is what a calculator says', () => {
  expect(boundArithmetic(299, 0, 0.95, 0.99003)).toBe('0.05^(1/299) = 99.003 %');
  expect(0.05 ** (1 / 299)).toBeCloseTo(0.99003, 5);
  expect(boundArithmetic(0, 0, 0.95, 0)).toMatch(/nothing is proven/);
});
