import { deflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  EVENT,
  EVENT_HEADER_BYTES,
  mysqlGtid,
  uncompressed,
  xaPrepare,
} from '../../src/adapters/mysql/binlog-events.ts';
import { PacketFrames } from '../../src/adapters/mysql/binlog-frames.ts';
import { RowReader, type RowTable } from '../../src/adapters/mysql/binlog-rows.ts';
import { tableMap, tableMapHead } from '../../src/adapters/mysql/binlog-table-map.ts';
import { columnDecoder } from '../../src/adapters/mysql/binlog-values.ts';
import {
  barePlace,
  placeAt,
  placeOf,
  positionAt,
  sequenceAt,
} from '../../src/adapters/mysql/mysql-log-items.ts';
import { unchanged } from '../../src/log/index.ts';

/** An event without checksum; only its body matters here. */
const event = (hex: string): Buffer =>
  Buffer.concat([Buffer.alloc(EVENT_HEADER_BYTES), Buffer.from(hex.replace(/\s/g, ''), 'hex')]);

function packet(payload: Buffer, sequence: number): Buffer {
  const header = Buffer.alloc(4);
  header.writeUIntLE(payload.length, 0, 3);
  header[3] = sequence;
  return Buffer.concat([header, payload]);
}

describe('packets', () => {
  const payloads = [Buffer.from('abc'), Buffer.alloc(0), Buffer.alloc(70_000, 7), Buffer.from('z')];
  const wire = Buffer.concat(payloads.map(packet));

  test.each([1, 2, 3, 5, 4_096, 69_999, wire.length])(
    'are whole whatever the chunks are (%d bytes)',
    (size) => {
      const frames = new PacketFrames();
      const found: Buffer[] = [];
      for (let at = 0; at < wire.length; at += size) {
        frames.push(wire.subarray(at, at + size));
        for (let one = frames.next(); one !== null; one = frames.next())
          found.push(Buffer.from(one));
      }
      expect(found.map((one) => one.toString('hex'))).toEqual(
        payloads.map((one) => one.toString('hex')),
      );
      expect(frames.bytes).toBe(0);
    },
  );

  test.each([0, 5])('of 16 MB and more are put together (%d bytes behind)', (rest) => {
    const full = Buffer.alloc(0xff_ff_ff, 1);
    const frames = new PacketFrames();
    for (const one of [
      packet(full, 0),
      packet(full, 1),
      packet(Buffer.alloc(rest, 2), 2),
      packet(Buffer.from('next'), 3),
    ])
      frames.push(one);
    expect(frames.next()?.length).toBe(2 * 0xff_ff_ff + rest);
    expect(frames.next()?.toString()).toBe('next');
    expect(frames.next()).toBeNull();
  });
});

describe('events of MySQL, from bytes put together after its documentation', () => {
  test('a GTID event with the time of its commit', () => {
    const micros = 1_763_726_400_123_456n;
    const time = Buffer.alloc(8);
    time.writeBigUInt64LE(micros);
    const body = `01 3e11fa4771ca11e19e33c80aa9429562 0700000000000000 02 ${'00'.repeat(16)} ${time.toString('hex').slice(0, 14)}`;
    const made = event(body);
    expect(mysqlGtid(made, EVENT.gtid, made.length)).toEqual({
      gtid: '3e11fa47-71ca-11e1-9e33-c80aa9429562:7',
      standalone: false,
      committedAtMs: 1_763_726_400_123.456,
    });
    const short = event(body.slice(0, 60));
    expect(mysqlGtid(short, EVENT.anonymousGtid, short.length)).toMatchObject({
      gtid: '',
      committedAtMs: null,
    });
  });

  test('an XA PREPARE names the branch as its decision does', () => {
    const made = event('00 01000000 02000000 01000000 6162 63');
    expect(xaPrepare(made, made.length)).toEqual({ onePhase: false, branch: '6162,63,1' });
  });

  // Table t.a: tinyint unsigned, year, varchar(10) utf8mb4 null, and a JSON; names and signs in the map.
  const map = event(
    `050000000000 0100 01 74 00 01 61 00 04 01 0d 0f f5 03 2800 04 04
     01 01 80  02 01 2d  04 09 02 6964 01 79 01 76 01 6a  08 01 00`,
  );
  const head = tableMapHead(map, map.length, 6);

  test('a table map tells names, signs, collations and the key; YEAR is no number in it', () => {
    expect(head).toMatchObject({ id: 5, schema: 't', name: 'a' });
    const { columns, metadata } = tableMap(map, map.length, head, false);
    expect(columns.map(({ type, size, nullable }) => [type, size, nullable])).toEqual([
      [1, 0, false],
      [13, 0, false],
      [15, 40, true],
      [245, 4, false],
    ]);
    expect(metadata).toEqual({
      unsigned: new Set([0]),
      collations: new Map([[2, 45]]),
      names: ['id', 'y', 'v', 'j'],
      primaryKey: new Set([0]),
    });
  });

  const meaning = {
    unsigned: true,
    text: (bytes: Buffer, from: number, to: number) => bytes.toString('utf8', from, to),
    labels: [],
    plain: null,
  };
  const table: RowTable = {
    log: {
      schema: 't',
      name: 'a',
      columns: ['id', 'y', 'v', 'j'].map((name) => ({ name, type: '', key: name === 'id' })),
    },
    decoders: tableMap(map, map.length, head, false).columns.map((one) =>
      columnDecoder(one, meaning),
    ),
    places: [0, 1, 2, 3],
    watched: new Set([0]),
  };
  const json = '0d000000 00 0100 0c00 0b00 0100 05 0100 61';

  test('rows of version 2 with extra data', () => {
    // Extra data of 5 bytes behind its length; two rows, NULL in the third column of the first.
    const made = event(
      `050000000000 0100 0700 0102030405 04 0f
       04 ff 7c ${json}  00 01 00 02 c3a9 ${json}`,
    );
    const reader = new RowReader(made, EVENT.writeV2, made.length, table, 9n);
    expect([reader.next(), reader.next()].map(({ after }) => after)).toEqual([
      ['255', '2024', null, '{"a": 1}'],
      ['1', '0000', 'é', '{"a": 1}'],
    ]);
    expect(reader.more).toBe(false);
  });

  test('an update that moves its row tells the old key and nothing else of it', () => {
    const row = (id: string): string => `00 ${id} 7c 01 78 ${json}`;
    const made = event(
      `050000000000 0100 0200 04 0f 0f ${row('01')} ${row('01')} ${row('01')} ${row('02')}`,
    );
    const reader = new RowReader(made, EVENT.updateV2, made.length, table, 9n);
    expect(reader.next().before).toBeNull();
    expect(reader.next().before).toEqual(['1', unchanged, unchanged, unchanged]);
  });

  test('rows that end too early are an error', () => {
    const made = event('050000000000 0100 0200 04 0f 00 01 7c 09 78');
    const reader = new RowReader(made, EVENT.writeV2, made.length, table, 9n);
    expect(() => reader.next()).toThrow(/BUG/);
  });
});

test('compressed events of MariaDB are what they were, or refused', () => {
  const plain = Buffer.from('x'.repeat(1_000));
  const made = Buffer.concat([Buffer.from([0x82, 0x03, 0xe8]), deflateSync(plain)]);
  expect(uncompressed(made).equals(plain)).toBe(true);
  expect(() =>
    uncompressed(Buffer.concat([Buffer.from([0x92, 0x03, 0xe8]), deflateSync(plain)])),
  ).toThrow(/LOG_UNSUPPORTED/);
  expect(() =>
    uncompressed(Buffer.concat([Buffer.from([0x82, 0x03, 0xe7]), deflateSync(plain)])),
  ).toThrow();
});

test('places and sequences follow the order of the log', () => {
  const place = { ...barePlace('bin.x-log.000012', 4_711), stamp: '17-1763726400' };
  const { sequence, text } = positionAt(place);
  expect(text).toBe('bin.x-log.000012:4711@17-1763726400');
  expect(placeOf(text)).toEqual(place);
  expect(placeOf('bin.000001:4')).toEqual(barePlace('bin.000001', 4));
  expect(placeOf('0/16B3748')).toBeNull();
  // Below that of a transaction that begins there.
  expect(sequence).toBe((12n << 32n) + 4_710n);
  expect(placeAt(sequence + 1n, 'bin.x-log.000003')).toEqual({
    file: 'bin.x-log.000012',
    offset: 4_711,
  });
  expect(placeAt(1_000_000n << 32n, 'bin.999999')).toEqual({ file: 'bin.1000000', offset: 0 });
  expect(sequenceAt('b.000001', 5_000_000_000)).toBeLessThan(sequenceAt('b.000002', 4));
});
