/**
 * What a column holds, in words that every engine shares. `declared` is the engine's own, for messages; everything that decides is in the other fields.
 * Values of a column travel as the exact text that its engine gives for it (`record/value.ts`).
 */
export interface ColumnType {
  readonly kind: ColumnKind;
  /** As the store declares it: `bigint(20) unsigned`, `timestamp with time zone`. */
  readonly declared: string;
  readonly nullable: boolean;
  /** `integer`, `float`: 8, 16, 24, 32, 64 bits. `bits`: their number. */
  readonly bits?: number;
  readonly unsigned?: boolean;
  /** `decimal`: digits in all and behind the point; absent: any number. */
  readonly precision?: number;
  readonly scale?: number;
  /** `time`, `date-time`, `instant`, `interval`: digits of the second behind the point, 0 … 6. */
  readonly fraction?: number;
  /** `text` and `bytes`: most characters, or bytes; absent: no bound worth a check. */
  readonly length?: number;
  /** `text` and `bytes`: shorter values are filled up to `length`. */
  readonly padded?: boolean;
  /** `text`, `label`, `label-set`: repertoire, `utf8` or a narrower one by its name (`latin1`). */
  readonly charset?: string;
  /** `text`: texts that differ in case or accent are equal as keys. */
  readonly folds?: boolean;
  /** `label`, `label-set`: what is allowed. */
  readonly labels?: readonly string[];
}

/** How an engine writes values as text: MariaDB writes as MySQL does. */
export type Spelling = 'postgres' | 'mysql';

/** A column and the way in which its store writes it. */
export interface StoredColumn extends ColumnType {
  readonly spelling: Spelling;
}

export type ColumnKind =
  | 'boolean'
  | 'integer'
  | 'decimal'
  | 'float'
  | 'text'
  | 'bytes'
  | 'bits'
  | 'date'
  | 'time'
  | 'date-time'
  | 'instant'
  | 'interval'
  | 'year'
  | 'uuid'
  | 'json'
  | 'label'
  | 'label-set'
  | 'geometry'
  | 'other';
