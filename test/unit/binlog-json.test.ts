import { describe, expect, test } from 'vitest';
import { binaryJsonText, serverDouble } from '../../src/adapters/mysql/binlog-json.ts';

/** From bytes that were put together by hand from the documentation (`json_binary.h`); no MySQL server wrote them. */
const text = (hex: string): string => {
  const bytes = Buffer.from(hex.replace(/\s/g, ''), 'hex');
  // In the middle of a buffer: offsets are the document's own.
  return binaryJsonText(Buffer.concat([Buffer.from('zz'), bytes]), 2, 2 + bytes.length);
};
const bytesOf = (value: string): string => Buffer.from(value).toString('hex');
const opaque = (type: string, value: string): string =>
  `0f ${type} ${(value.length / 2).toString(16).padStart(2, '0')} ${value}`;
const little64 = (value: bigint): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes.toString('hex');
};

describe('binary JSON of MySQL', () => {
  test.each([
    ['04 00', 'null'],
    ['04 01', 'true'],
    ['04 02', 'false'],
    ['05 ffff', '-1'],
    ['06 ffff', '65535'],
    ['07 00000080', '-2147483648'],
    ['08 ffffffff', '4294967295'],
    [`09 ${little64(-(2n ** 63n))}`, '-9223372036854775808'],
    ['0a ffffffffffffffff', '18446744073709551615'],
    ['0b 000000000000f03f', '1.0'],
    ['0b 9a9999999999b93f', '0.1'],
    ['0c 03 61c3a9', '"aé"'],
    [`0c 07 ${bytesOf('a"\\/\n\u0001b')}`, '"a\\"\\\\/\\n\\u0001b"'],
    [`0c c801 ${'61'.repeat(200)}`, `"${'a'.repeat(200)}"`],
    ['00 0100 0c00 0b00 0100 05 0100 61', '{"a": 1}'],
    ['00 0000 0400', '{}'],
    ['02 0000 0400', '[]'],
    ['02 0200 0a00 04 0100 05 0200', '[true, 2]'],
    ['02 0100 0c00 0c 0700 04 61626364', '["abcd"]'],
    ['02 0100 0b00 02 0700 0000 0400', '[[]]'],
    ['03 01000000 0d000000 07 01000000', '[1]'],
    ['01 01000000 14000000 13000000 0100 08 ffffffff 62', '{"b": 4294967295}'],
    // decimal(5,2): 123.45
    [opaque('f6', '0502807b2d'), '123.45'],
    [
      opaque(
        '0c',
        little64(
          (((2015n * 13n + 1n) * 32n + 15n) * 131_072n + ((23n << 12n) | (24n << 6n) | 25n)) *
            16_777_216n +
            120_000n,
        ),
      ),
      '"2015-01-15 23:24:25.120000"',
    ],
    [
      opaque('0a', little64(((2015n * 13n + 1n) * 32n + 15n) * 131_072n * 16_777_216n)),
      '"2015-01-15"',
    ],
    [opaque('0b', little64(((23n << 12n) | (24n << 6n) | 25n) * 16_777_216n)), '"23:24:25.000000"'],
    [opaque('0b', little64(-((1n << 12n) * 16_777_216n + 500_000n))), '"-01:00:00.500000"'],
    [opaque('fc', '6162'), '"base64:type252:YWI="'],
  ])('%s is %s', (hex, expected) => {
    expect(text(hex)).toBe(expected);
  });

  test('a value that was never filled in is null', () => {
    expect(text('')).toBe('null');
  });

  test('what is cut off, or refers to itself, is an error and no loop', () => {
    expect(() => text('0c 05 61')).toThrow();
    expect(() => text('02 0100 0b00 02 0000')).toThrow();
    expect(() => text('0e')).toThrow(/LOG_UNSUPPORTED/);
  });
});

test.each([
  [1e15, '1e15'],
  [123456789012345, '123456789012345'],
  [1e14, '100000000000000'],
  [1.5e-15, '0.0000000000000015'],
  [1e-16, '1e-16'],
  [-0, '-0'],
  [0, '0'],
  [1.7976931348623157e308, '1.7976931348623157e308'],
  [-2.5, '-2.5'],
])('the server prints the double %d as %s', (value, expected) => {
  expect(serverDouble(value)).toBe(expected);
});
