import { decodeKey, type Key } from '../../record/index.ts';

/** Names a table and the type of its rows. Child rows carry their parent in the row id, see `childRowId`. */
export interface TableRef<R> {
  readonly name: string;
  /** Never set; carries the type. */
  readonly rowType?: R;
}

/** A table of the type `R`. */
export function tableRef<R>(name: string): TableRef<R> {
  return { name };
}

const separator = '\u0001';

/** Row id of a child row: its parent's encoded key, then its own. */
export function childRowId(parent: string, child: string): string {
  return `${parent}${separator}${child}`;
}

/** The group of a row: its parent's encoded key; null for rows of root tables. */
function groupOf(id: string): string | null {
  const at = id.indexOf(separator);
  return at < 0 ? null : id.slice(0, at);
}

/** The committed rows of one table. */
export class MemoryTable {
  readonly rows = new Map<string, unknown>();
  private readonly groups = new Map<string, Set<string>>();
  private sorted: readonly string[] | null = null;

  set(id: string, row: unknown): void {
    if (!this.rows.has(id)) {
      this.sorted = null;
      const group = groupOf(id);
      if (group !== null) {
        const ids = this.groups.get(group);
        if (ids) ids.add(id);
        else this.groups.set(group, new Set([id]));
      }
    }
    this.rows.set(id, row);
  }

  delete(id: string): void {
    if (!this.rows.delete(id)) return;
    this.sorted = null;
    const group = groupOf(id);
    const ids = group === null ? undefined : this.groups.get(group);
    ids?.delete(id);
    if (group !== null && ids?.size === 0) this.groups.delete(group);
  }

  /** Row ids of a group. */
  idsOf(group: string): Iterable<string> {
    return this.groups.get(group) ?? [];
  }

  /** Encoded keys of a root table in key order. */
  inKeyOrder(): readonly string[] {
    this.sorted ??= [...this.rows.keys()].sort((a, b) => compareKeys(decodeKey(a), decodeKey(b)));
    return this.sorted;
  }
}

/** Key order of this engine: part by part, by code point (the order of UTF-8 bytes, as `COLLATE "C"`). */
export function compareKeys(a: Key, b: Key): number {
  for (let part = 0; part < a.length && part < b.length; part++) {
    const order = compareText(a[part]!, b[part]!);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    if (x !== y) return codePointOrder(x) - codePointOrder(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above U+FFFF, so they sort behind every other unit. */
function codePointOrder(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
