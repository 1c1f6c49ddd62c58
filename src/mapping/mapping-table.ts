import {
  bitsToBits,
  bitsToBoolean,
  bitsToInteger,
  bytesToBytes,
  bytesToGeometry,
  bytesToUuid,
  geometryToBytes,
  geometryToGeometry,
  integerToBits,
  toBits,
  uuidToBytes,
} from './bytes.ts';
import type { ColumnKind } from './column-type.ts';
import {
  anyToInteger,
  booleanToBoolean,
  booleanToDecimal,
  booleanToFloat,
  booleanToInteger,
  decimalToDecimal,
  decimalToFloat,
  decimalToInteger,
  floatToDecimal,
  floatToFloat,
  floatToInteger,
  integerToDecimal,
  integerToFloat,
  integerToInteger,
  integerToYear,
  numberToBoolean,
  textToNumber,
  toDecimal,
  toFloat,
  toTruth,
  toWhole,
  toYear,
  yearToInteger,
} from './numbers.ts';
import type { Rule } from './rule.ts';
import {
  jsonToJson,
  jsonToSet,
  labelToLabel,
  plainToText,
  setToJson,
  setToSet,
  textToJson,
  textToLabel,
  textToText,
  textToUuid,
  toLabelSet,
  uuidToText,
} from './texts.ts';
import {
  dateToDate,
  dateToStamp,
  stampToDate,
  stampToStamp,
  timeToTime,
  toDate,
  toStamp,
  toTime,
} from './times.ts';

type Row = Readonly<Record<ColumnKind, Rule | null>>;

/** Nothing is known of at least one of the two types: the text goes over, and the stores decide. */
const unknown: Rule = (from, to) =>
  from.kind === to.kind && from.declared === to.declared
    ? { convert: null }
    : {
        convert: null,
        refuses: ['what the other store does not understand: nothing is known of this type'],
      };

const none: Row = {
  boolean: null,
  integer: null,
  decimal: null,
  float: null,
  text: null,
  bytes: null,
  bits: null,
  date: null,
  time: null,
  'date-time': null,
  instant: null,
  interval: null,
  year: null,
  uuid: null,
  json: null,
  label: null,
  'label-set': null,
  geometry: null,
  other: unknown,
};

/** Every kind has a text. */
const some: Row = { ...none, text: plainToText };

/** Text that the store itself has to understand. */
const parsed =
  (what: string, convert: (...given: Parameters<Rule>) => ReturnType<Rule>['convert']): Rule =>
  (from, to, how) => ({
    convert: convert(from, to, how),
    loses: ['how the value is spelled'],
    refuses: [`texts that are no ${what}`],
  });

/** From kind → to kind → what becomes of the values. null: there is no mapping but a transform. */
export const mappingTable: Readonly<Record<ColumnKind, Row>> = {
  boolean: {
    ...some,
    boolean: booleanToBoolean,
    integer: booleanToInteger,
    decimal: booleanToDecimal,
    float: booleanToFloat,
    bits: (_from, to) => ({
      convert: toBits(to),
      refuses: _from.spelling === 'mysql' ? ['numbers other than 0 and 1'] : [],
    }),
    text: (from, to, how) => truthText(how) ?? plainToText(from, to, how),
    label: (from, to, how) => truthText(how) ?? textToLabel(from, to, how),
  },
  integer: {
    ...some,
    boolean: numberToBoolean,
    integer: integerToInteger,
    decimal: integerToDecimal,
    float: integerToFloat,
    bits: integerToBits,
    year: integerToYear,
  },
  decimal: {
    ...some,
    boolean: numberToBoolean,
    integer: decimalToInteger,
    decimal: decimalToDecimal,
    float: decimalToFloat,
  },
  float: { ...some, integer: floatToInteger, decimal: floatToDecimal, float: floatToFloat },
  text: {
    ...none,
    boolean: (_from, to, how) => ({
      convert: toTruth(to, how),
      ...(how.truth === undefined ? { loses: ['how the value is spelled'] } : {}),
      refuses: ['texts that are no boolean'],
    }),
    integer: textToNumber(toWhole),
    decimal: textToNumber(toDecimal),
    float: textToNumber(toFloat),
    text: textToText,
    bits: parsed('bit string', (_from, to) => toBits(to)),
    date: parsed('date', (_from, to, how) => toDate(to, how)),
    time: parsed('time', (_from, to, how) => toTime(to, how)),
    'date-time': parsed('date and time', (_from, to, how) => toStamp(to, how)),
    instant: parsed('date and time', (_from, to, how) => toStamp(to, how)),
    interval: parsed('interval', (_from, to, how) => toTime(to, how)),
    year: parsed('year', (_from, to) => toYear(to)),
    uuid: textToUuid,
    json: textToJson,
    label: textToLabel,
    'label-set': parsed('set', (_from, to) => toLabelSet(to)),
  },
  bytes: {
    ...none,
    bytes: bytesToBytes,
    uuid: bytesToUuid,
    geometry: bytesToGeometry,
  },
  bits: {
    ...some,
    boolean: bitsToBoolean,
    integer: bitsToInteger(anyToInteger),
    bits: bitsToBits,
  },
  date: { ...some, date: dateToDate, 'date-time': dateToStamp, instant: dateToStamp },
  time: { ...some, time: timeToTime, interval: timeToTime },
  'date-time': { ...some, date: stampToDate, 'date-time': stampToStamp, instant: stampToStamp },
  instant: { ...some, date: stampToDate, 'date-time': stampToStamp, instant: stampToStamp },
  interval: { ...some, time: timeToTime, interval: timeToTime },
  year: { ...some, integer: yearToInteger, year: () => ({ convert: null }) },
  uuid: { ...some, text: uuidToText, uuid: () => ({ convert: null }), bytes: uuidToBytes },
  json: { ...some, json: jsonToJson, 'label-set': jsonToSet },
  label: {
    ...some,
    boolean: (_from, to, how) => ({
      convert: toTruth(to, how),
      refuses: ['labels that are no boolean'],
    }),
    label: labelToLabel,
  },
  'label-set': { ...some, json: setToJson, 'label-set': setToSet },
  geometry: { ...some, bytes: geometryToBytes, geometry: geometryToGeometry },
  other: {
    ...(Object.fromEntries(Object.keys(none).map((kind) => [kind, unknown])) as Record<
      ColumnKind,
      Rule
    >),
  },
};

/** A boolean as two texts of the configuration; null: it has none. */
function truthText({ truth }: Parameters<Rule>[2]): ReturnType<Rule> | null {
  if (truth === undefined) return null;
  return {
    convert: (text) => {
      if (text === 't' || text === '1' || text === 'true') return truth.true;
      if (text === 'f' || text === '0' || text === 'false') return truth.false;
      return text;
    },
    refuses: ['numbers other than 0 and 1'],
  };
}
