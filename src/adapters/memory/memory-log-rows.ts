import {
  type LogChange,
  type LogColumn,
  type LogTable,
  type LogValue,
  unchanged,
} from '../../log/index.ts';
import type { Shape } from '../../migration/index.ts';
import type { Row } from '../../record/index.ts';
import type { LoggedRow } from './memory-log.ts';

/** What the log tells of rows, see `MemoryDatabaseOptions`. */
export interface LogImage {
  readonly logImage: 'full' | 'keys';
  readonly logLeavesOut: ReadonlySet<string>;
}

interface Published {
  readonly key: readonly string[];
  /** null: whatever a row has. */
  readonly columns: readonly string[] | null;
}

/** Turns rows of the published tables into row changes, as a decoder does. One per stream: it remembers the forms of the tables. */
export class LogRows {
  private readonly image: LogImage;
  private readonly published = new Map<string, Published>();
  private readonly forms = new Map<string, LogTable>();

  constructor(image: LogImage, shapes: Iterable<Shape>) {
    this.image = image;
    for (const { table, key, columns, children } of shapes) {
      this.published.set(table, { key, columns: columns ?? null });
      for (const child of Object.values(children ?? {})) {
        const all = child.columns && [...new Set([...child.columns, ...child.parent])];
        this.published.set(child.table, { key: child.key, columns: all ?? null });
      }
    }
  }

  publishes(table: string): boolean {
    return this.published.has(table);
  }

  change({ table: name, kind, before, after }: LoggedRow, sequence: bigint): LogChange {
    const rows = [before, after].filter((row) => row !== undefined) as Row[];
    const table = this.form(name, rows);
    if (kind === 'truncate') return { table, kind, before: null, after: null, sequence };
    const old = before as Row | undefined;
    const now = after as Row | undefined;
    return {
      table,
      kind,
      before: old === undefined ? null : this.before(table, old, now),
      after: now === undefined ? null : this.after(table, old, now),
      sequence,
    };
  }

  /** null: an update that did not touch the key, of which the log has no old row. */
  private before(table: LogTable, old: Row, now: Row | undefined): readonly LogValue[] | null {
    const whole = this.image.logImage === 'full';
    const moved =
      now === undefined || table.columns.some(({ name, key }) => key && old[name] !== now[name]);
    if (!whole && !moved) return null;
    return table.columns.map(({ name, key }) => (whole || key ? (old[name] ?? null) : unchanged));
  }

  private after(table: LogTable, old: Row | undefined, now: Row): readonly LogValue[] {
    return table.columns.map(({ name, key }) => {
      const value = now[name] ?? null;
      const untouched = old !== undefined && !key && (old[name] ?? null) === value;
      const leftOut = this.image.logLeavesOut.has(`${table.name}.${name}`);
      return untouched && leftOut && value !== null ? unchanged : value;
    });
  }

  private form(name: string, rows: readonly Row[]): LogTable {
    const published = this.published.get(name) ?? { key: [], columns: null };
    const columns =
      published.columns ?? [...new Set(rows.flatMap((row) => Object.keys(row)))].sort();
    const text = JSON.stringify([name, columns]);
    let form = this.forms.get(text);
    if (!form) {
      const column = (column: string): LogColumn => ({
        name: column,
        type: 'text',
        key: published.key.includes(column),
      });
      form = { schema: 'memory', name, columns: columns.map(column) };
      this.forms.set(text, form);
    }
    return form;
  }
}
