import { describe, expect, test } from 'vitest';
import { EVENT, EVENT_HEADER_BYTES } from '../../src/adapters/mysql/binlog-events.ts';
import { dumpPacket, dumpVariables } from '../../src/adapters/mysql/mysql-dump-request.ts';
import {
  decodedSet,
  encodedSet,
  gtidList,
  gtidState,
  previousGtids,
} from '../../src/adapters/mysql/mysql-gtid.ts';
import { LogAssembler } from '../../src/adapters/mysql/mysql-log-assembler.ts';
import type { LogDirectory } from '../../src/adapters/mysql/mysql-log-directory.ts';
import {
  barePlace,
  type LogItem,
  placeOf,
  positionAt,
} from '../../src/adapters/mysql/mysql-log-items.ts';
import { eventSum, PlaceTracker } from '../../src/adapters/mysql/mysql-log-tracker.ts';

const A = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const B = 'b9b4712a-df64-11e3-b391-60672090eb04';

const bytes = (hex: string): Buffer => Buffer.from(hex.replace(/\s/g, ''), 'hex');
/** An event without checksum; only its body matters here. */
const event = (hex: string): Buffer =>
  Buffer.concat([Buffer.alloc(EVENT_HEADER_BYTES), bytes(hex)]);

describe('the transactions before a place', () => {
  test('MariaDB: the last one of each domain, by domain', () => {
    const state = gtidState('0-1-5,10-2-7');
    state.add('3-1-1');
    state.add('0-2-6');
    // The last one, not the highest.
    state.add('10-1-4');
    expect(state.toString()).toBe('0-2-6,3-1-1,10-1-4');
    expect(() => gtidState('0-1')).toThrow(/no GTID state/);
  });

  test('MySQL: intervals of each source, which grow together', () => {
    const state = gtidState(`${B.toUpperCase()}:5,\n${A}:1-3:7`);
    expect(state.toString()).toBe(`${A}:1-3:7,${B}:5`);
    for (const number of [5, 4, 6, 12]) state.add(`${A}:${number}`);
    state.add(`${B}:4`);
    expect(state.toString()).toBe(`${A}:1-7:12,${B}:4-5`);
    expect(() => gtidState(`${A}:tag:1`)).toThrow(/no GTID state/);
  });

  test('MySQL: as the server writes a set', () => {
    const text = `${A}:1-3:7,${B}:9223372036854775806`;
    const made = bytes(`0200000000000000
      3e11fa4771ca11e19e33c80aa9429562 0200000000000000
      0100000000000000 0400000000000000 0700000000000000 0800000000000000
      b9b4712adf6411e3b39160672090eb04 0100000000000000
      feffffffffffff7f ffffffffffffff7f`);
    expect(encodedSet(text).toString('hex')).toBe(made.toString('hex'));
    expect(decodedSet(made)).toBe(text);
    expect(previousGtids(event(made.toString('hex')), EVENT_HEADER_BYTES + made.length)).toBe(text);
    expect(decodedSet(Buffer.alloc(8))).toBe('');
    // With tags (8.3): told by the first byte and the last.
    expect(decodedSet(bytes('0101000000000001 00'))).toBeNull();
    expect(() => decodedSet(made.subarray(0, 60))).toThrow(/ends before/);
  });

  test('MariaDB: a list has one for each server of a domain, the last one last', () => {
    const made = event(`03000010
      00000000 02000000 0900000000000000
      00000000 01000000 0700000000000000
      05000000 01000000 ffffffffffffffff`);
    expect(gtidList(made, made.length)).toBe('0-1-7,5-1-18446744073709551615');
    expect(gtidList(event('00000000'), EVENT_HEADER_BYTES + 4)).toBe('');
  });
});

describe('places', () => {
  const stamp = '17-1763726400';
  const last = { offset: 4_500, sum: '00ab12cd' };

  test.each([
    ['bin.000012:4711', {}],
    ['bin.000012:4711@17-1763726400', { stamp }],
    ['bin.000012:4711@17-1763726400 0-17-8,3-17-9', { stamp, gtids: '0-17-8,3-17-9' }],
    [`bin.000012:4711@17-1763726400 ${A}:5`, { stamp, gtids: `${A}:5` }],
    [`bin.000012:4711@17-1763726400 ${A}:5 4500#00ab12cd`, { stamp, gtids: `${A}:5`, last }],
    ['bin.000012:4711@17-1763726400 4500#00ab12cd', { stamp, last }],
  ])('%s', (text, known) => {
    const place = { ...barePlace('bin.000012', 4_711), ...known };
    expect(positionAt(place).text).toBe(text);
    expect(placeOf(text)).toEqual(place);
  });
});

describe('asking for the log', () => {
  const request = {
    serverId: 0x01_02_03_04,
    uuid: A,
    file: 'bin.000012',
    offset: 4_711,
    once: false,
    heartbeatMs: 2_000,
  };

  test('by file and offset', () => {
    const packet = dumpPacket({ ...request, gtids: null, once: true });
    const name = Buffer.from(request.file).toString('hex');
    expect(packet.toString('hex')).toBe(
      bytes(`150000 00 12 67120000 0100 04030201 ${name}`).toString('hex'),
    );
    expect(dumpVariables({ ...request, gtids: null }).join()).not.toContain('connect_state');
  });

  test('MariaDB, by GTID: variables, and no file', () => {
    const asked = { ...request, gtids: '0-1-5,3-1-2' };
    expect(dumpVariables(asked)).toContain("@slave_connect_state = '0-1-5,3-1-2'");
    expect(dumpVariables(asked)).toContain('@slave_gtid_strict_mode = 1');
    expect(dumpPacket(asked).toString('hex')).toBe(
      bytes('0b0000 00 12 04000000 0000 04030201').toString('hex'),
    );
  });

  test('MySQL, by GTID: COM_BINLOG_DUMP_GTID', () => {
    const asked = { ...request, gtids: `${A}:1-3` };
    expect(dumpPacket(asked).toString('hex')).toBe(
      bytes(`470000 00 1e 0400 04030201 00000000 0400000000000000 30000000
        0100000000000000 3e11fa4771ca11e19e33c80aa9429562 0100000000000000
        0100000000000000 0400000000000000`).toString('hex'),
    );
    expect(dumpVariables(asked).join()).not.toContain('connect_state');
  });
});

describe('where reading stands', () => {
  const from = { ...barePlace('bin.000002', 1_000), stamp: '1-100', gtids: '0-1-5' };
  const header = (type: number, endOffset: number, size = 50, timestamp = 100) => ({
    timestamp,
    type,
    serverId: 1,
    size,
    endOffset,
    artificial: false,
  });
  const opened = (): PlaceTracker => {
    const tracker = new PlaceTracker(from, true);
    tracker.rotate('bin.000002', 4);
    expect(tracker.format(header(EVENT.format, 254, 250))).toBe(false);
    expect(tracker.move(header(EVENT.mariadbGtidList, 300))).toBe(false);
    return tracker;
  };
  const gtidEvent = Buffer.alloc(50, 7);

  test('the head of the file is passed over, then our place has to come', () => {
    const tracker = opened();
    tracker.told(header(EVENT.mariadbGtidList, 1_000));
    expect(positionAt(tracker.place).text).toBe('bin.000002:1000@1-100 0-1-5');
    expect(tracker.move(header(EVENT.mariadbGtid, 1_050))).toBe(true);
    tracker.begin('7-1-1', gtidEvent, 50);
    expect(tracker.move(header(EVENT.xid, 1_080, 30))).toBe(true);
    expect(tracker.place.gtids).toBe('0-1-5');
    tracker.complete();
    const { place } = tracker;
    expect(place).toMatchObject({ offset: 1_080, gtids: '0-1-5,7-1-1' });
    expect(place.last).toEqual({ offset: 1_000, sum: eventSum(gtidEvent, 50) });
    // A heartbeat behind it is none of our business any more.
    tracker.told(header(EVENT.heartbeat, 1_080));
  });

  test('transactions before our place, a gap, and what was left out behind it are refused', () => {
    expect(() => opened().move(header(EVENT.mariadbGtid, 1_000))).toThrow(
      /before it, at bin.000002:950/,
    );
    expect(() => opened().move(header(EVENT.mariadbGtid, 1_051))).toThrow(/the next one at 1001/);
    expect(() => opened().told(header(EVENT.heartbeat, 1_051))).toThrow(/counts what follows/);
    const tracker = new PlaceTracker(from, true);
    expect(() => tracker.format(header(EVENT.format, 254, 250, 101))).toThrow(/at second 101/);
  });

  test('the server may begin with a later file, not with an earlier one', () => {
    const later = new PlaceTracker(from, true);
    later.rotate('bin.000004', 4);
    expect(later.format(header(EVENT.format, 254, 250, 200))).toBe(true);
    later.before('0-1-5');
    expect(positionAt(later.place).text).toBe('bin.000004:254@1-200 0-1-5');
    expect(() => new PlaceTracker(from, true).rotate('bin.000001', 4)).toThrow(/file bin.000001/);
    expect(() => new PlaceTracker(from, false).rotate('bin.000004', 4)).toThrow(/LOG_LOST/);
  });

  test('transactions without GTID, or with tags, are followed by file and offset', () => {
    const tracker = opened();
    tracker.move(header(EVENT.taggedGtid, 1_050));
    tracker.begin('', gtidEvent, 50);
    tracker.complete();
    expect(tracker.place).toMatchObject({ gtids: null, last: { offset: 1_000 } });
  });
});

describe('a log of MySQL, from bytes put together after its documentation', () => {
  /** Events without checksums, one behind the other from `offset` on. */
  function written(offset: number, ...events: readonly (readonly [number, Buffer])[]): Buffer[] {
    let end = offset;
    return events.map(([type, body]) => {
      const made = Buffer.alloc(EVENT_HEADER_BYTES + body.length);
      end += made.length;
      made.writeUInt32LE(1_763_726_400, 0);
      made.writeUInt8(type, 4);
      made.writeUInt32LE(17, 5);
      made.writeUInt32LE(made.length, 9);
      made.writeUInt32LE(end, 13);
      body.copy(made, EVENT_HEADER_BYTES);
      return made;
    });
  }

  const format = Buffer.alloc(2 + 50 + 4 + 1 + 41 + 1 + 4);
  format.writeUInt16LE(4);
  format.write('8.0.36', 2);
  const gtid = (uuid: string, number: string): readonly [number, Buffer] => [
    EVENT.gtid,
    bytes(`01 ${uuid.replaceAll('-', '')} ${number}00000000000000`),
  ];
  const begin: readonly [number, Buffer] = [
    EVENT.query,
    Buffer.concat([Buffer.alloc(13 + 1), Buffer.from('BEGIN')]),
  ];
  const xid: readonly [number, Buffer] = [EVENT.xid, Buffer.alloc(8)];

  test('gives places with the set of what lies before them, until something has no GTID', () => {
    const items: LogItem[] = [];
    // Nothing here has to be looked up.
    const assembler = new LogAssembler({} as LogDirectory, {
      from: barePlace('binlog.000003', 4),
      byGtid: false,
      releaseBytes: 1_000_000,
      sink: (item) => items.push(item),
    });
    const events = written(
      4,
      [EVENT.format, format],
      [EVENT.previousGtids, encodedSet(`${A}:1-6,${B}:1`)],
      gtid(A, '08'),
      begin,
      xid,
      gtid(A, '07'),
      begin,
      xid,
      [EVENT.anonymousGtid, Buffer.alloc(25)],
      begin,
      xid,
    );
    for (const one of events) assembler.feed(one);
    const texts = items.map((item) => (item.kind === 'end' ? item.position?.text : item.kind));
    expect(texts.map((text) => text?.replace(/#.*$/, ''))).toEqual([
      'binlog.000003:126@17-1763726400',
      `binlog.000003:342@17-1763726400 ${A}:1-6:8,${B}:1 233`,
      `binlog.000003:451@17-1763726400 ${A}:1-8,${B}:1 342`,
      'binlog.000003:560@17-1763726400 451',
    ]);
    // On from the second place, as the server answers COM_BINLOG_DUMP_GTID: the head, and then what follows.
    const rest: LogItem[] = [];
    const again = new LogAssembler({} as LogDirectory, {
      from: placeOf(texts[1] ?? '') ?? barePlace('', 0),
      byGtid: true,
      releaseBytes: 1_000_000,
      sink: (item) => rest.push(item),
    });
    for (const one of [...events.slice(0, 2), ...events.slice(5, 8)]) again.feed(one);
    expect(rest.map((item) => item.kind === 'end' && item.position?.text)).toEqual([texts[2]]);
  });
});
