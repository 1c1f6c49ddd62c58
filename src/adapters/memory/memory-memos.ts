import type { Memo, MemoLedger } from '../../control/index.ts';
import type { MemoryControl } from './memory-control-store.ts';

type Call = <T>(label: string, run: () => T) => Promise<T>;

/** Memos of a control store in this process. */
export function createMemoryMemos(control: MemoryControl, call: Call): MemoLedger {
  const memosOf = (migration: string): Map<string, Memo> => control.of(migration).memos;
  return {
    read: (migration, name) => call('memos/read', () => memosOf(migration).get(name) ?? null),
    list: (migration, prefix) =>
      call('memos/list', () =>
        [...memosOf(migration).values()]
          .filter(({ name }) => name.startsWith(prefix))
          .sort((a, b) => (a.name < b.name ? -1 : 1)),
      ),
    write: (migration, name, body, version) =>
      call('memos/write', () => {
        if ((memosOf(migration).get(name)?.version ?? 0) !== version) return false;
        // As through a database: nobody shares the object.
        const kept = JSON.parse(JSON.stringify(body)) as Memo['body'];
        memosOf(migration).set(name, { name, version: version + 1, body: kept });
        return true;
      }),
  };
}
