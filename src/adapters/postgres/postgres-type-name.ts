/** Types whose modifier holds a length; it is 4 more than what was declared. */
const LENGTHS: Readonly<Record<number, string>> = {
  1042: 'character',
  1043: 'character varying',
};

const BITS: Readonly<Record<number, string>> = { 1560: 'bit', 1562: 'bit varying' };

/** Types whose modifier is the number of digits of a second: name before and after it. */
const FRACTIONS: Readonly<Record<number, readonly [before: string, after: string]>> = {
  1083: ['time', ' without time zone'],
  1266: ['time', ' with time zone'],
  1114: ['timestamp', ' without time zone'],
  1184: ['timestamp', ' with time zone'],
};

const NUMERIC = 1700;

const NAMES: Readonly<Record<number, string>> = {
  16: 'boolean',
  17: 'bytea',
  18: '"char"',
  19: 'name',
  20: 'bigint',
  21: 'smallint',
  23: 'integer',
  25: 'text',
  26: 'oid',
  114: 'json',
  142: 'xml',
  600: 'point',
  650: 'cidr',
  700: 'real',
  701: 'double precision',
  790: 'money',
  829: 'macaddr',
  869: 'inet',
  1000: 'boolean[]',
  1007: 'integer[]',
  1009: 'text[]',
  1015: 'character varying[]',
  1016: 'bigint[]',
  1082: 'date',
  1186: 'interval',
  2950: 'uuid',
  3614: 'tsvector',
  3802: 'jsonb',
  3904: 'int4range',
  3906: 'numrange',
  3908: 'tsrange',
  3910: 'tstzrange',
  3912: 'daterange',
  3926: 'int8range',
  4072: 'jsonpath',
};

/** How PostgreSQL calls a type of its own, by its number (fixed in `pg_type.dat`); `type 4711` for one that is not in the list. For messages. */
export function typeName(oid: number, modifier: number): string {
  const counted = LENGTHS[oid];
  if (counted) return modifier < 4 ? counted : `${counted}(${modifier - 4})`;
  const bits = BITS[oid];
  if (bits) return modifier < 0 ? bits : `${bits}(${modifier})`;
  const fraction = FRACTIONS[oid];
  if (fraction) return fraction.join(modifier < 0 ? '' : `(${modifier})`);
  if (oid === NUMERIC) return numeric(modifier);
  return NAMES[oid] ?? `type ${oid}`;
}

/** Precision in the upper half, scale (11 bits with sign since PostgreSQL 15) in the lower. */
function numeric(modifier: number): string {
  if (modifier < 4) return 'numeric';
  const precision = ((modifier - 4) >> 16) & 0xffff;
  const scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
  return `numeric(${precision},${scale})`;
}
