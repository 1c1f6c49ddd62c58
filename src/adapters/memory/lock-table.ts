import { ChangeoverError } from '../../errors/index.ts';

export type LockMode = 'shared' | 'exclusive';

/** Who holds locks: a transaction. */
export interface LockOwner {
  /** Names of the locks held, for release. */
  readonly held: Set<string>;
}

interface Waiter {
  readonly owner: LockOwner;
  readonly mode: LockMode;
  readonly grant: () => void;
  readonly refuse: (error: unknown) => void;
}

interface Lock {
  readonly holders: Map<LockOwner, LockMode>;
  readonly waiters: Waiter[];
}

/**
 * Named shared and exclusive locks, held until the owner's transaction ends. First come, first served, upgrades first. A wait that
 * would close a circle is refused at once (STORE_CONFLICT for whoever closes it), as PostgreSQL does after `deadlock_timeout`.
 */
export class LockTable {
  private readonly locks = new Map<string, Lock>();
  private readonly waiting = new Map<
    LockOwner,
    { readonly name: string; readonly waiter: Waiter }
  >();

  /** True when granted without waiting; nothing changes otherwise. */
  tryAcquire(owner: LockOwner, name: string, mode: LockMode): boolean {
    const lock = this.locks.get(name);
    if (!lock) {
      this.locks.set(name, { holders: new Map([[owner, mode]]), waiters: [] });
      owner.held.add(name);
      return true;
    }
    const own = lock.holders.get(owner);
    if (own === 'exclusive' || own === mode) return true;
    if (own === undefined && lock.waiters.length > 0) return false;
    if (!isFree(lock, owner, mode)) return false;
    lock.holders.set(owner, mode);
    owner.held.add(name);
    return true;
  }

  /** Settles when granted; rejects with STORE_CONFLICT on deadlock, or with the error given to `cancelWait`. */
  acquire(owner: LockOwner, name: string, mode: LockMode): Promise<void> {
    if (this.tryAcquire(owner, name, mode)) return Promise.resolve();
    const lock = this.locks.get(name)!;
    return new Promise<void>((grant, refuse) => {
      const waiter: Waiter = { owner, mode, grant, refuse };
      if (lock.holders.has(owner)) lock.waiters.unshift(waiter);
      else lock.waiters.push(waiter);
      this.waiting.set(owner, { name, waiter });
      if (this.closesCircle(owner)) {
        this.cancelWait(
          owner,
          new ChangeoverError('STORE_CONFLICT', `Waiting for ${name} would be a deadlock.`),
        );
      }
    });
  }

  /** Ends a wait with an error; null: the waiter never hears of it (its process is dead). */
  cancelWait(owner: LockOwner, error: unknown): void {
    const wait = this.waiting.get(owner);
    if (!wait) return;
    this.waiting.delete(owner);
    const lock = this.locks.get(wait.name)!;
    lock.waiters.splice(lock.waiters.indexOf(wait.waiter), 1);
    if (error !== null) wait.waiter.refuse(error);
    this.promote(wait.name, lock);
  }

  releaseAll(owner: LockOwner): void {
    const names = [...owner.held];
    owner.held.clear();
    for (const name of names) {
      const lock = this.locks.get(name);
      if (!lock) continue;
      lock.holders.delete(owner);
      this.promote(name, lock);
    }
  }

  /** Number of locks that somebody holds or waits for. */
  get size(): number {
    return this.locks.size;
  }

  private promote(name: string, lock: Lock): void {
    for (let next = lock.waiters[0]; next; next = lock.waiters[0]) {
      if (!isFree(lock, next.owner, next.mode)) break;
      lock.waiters.shift();
      lock.holders.set(next.owner, next.mode);
      next.owner.held.add(name);
      this.waiting.delete(next.owner);
      next.grant();
    }
    if (lock.holders.size === 0 && lock.waiters.length === 0) this.locks.delete(name);
  }

  private closesCircle(start: LockOwner): boolean {
    const seen = new Set<LockOwner>();
    const open = this.blockersOf(start);
    for (let owner = open.pop(); owner; owner = open.pop()) {
      if (owner === start) return true;
      if (seen.has(owner)) continue;
      seen.add(owner);
      open.push(...this.blockersOf(owner));
    }
    return false;
  }

  /** Holders, and waiters in front, that `owner`'s wait is not compatible with. */
  private blockersOf(owner: LockOwner): LockOwner[] {
    const wait = this.waiting.get(owner);
    if (!wait) return [];
    const lock = this.locks.get(wait.name)!;
    const blockers: LockOwner[] = [];
    for (const [holder, mode] of lock.holders) {
      if (holder !== owner && conflicts(mode, wait.waiter.mode)) blockers.push(holder);
    }
    for (const other of lock.waiters) {
      if (other === wait.waiter) break;
      if (other.owner !== owner && conflicts(other.mode, wait.waiter.mode))
        blockers.push(other.owner);
    }
    return blockers;
  }
}

function conflicts(a: LockMode, b: LockMode): boolean {
  return a === 'exclusive' || b === 'exclusive';
}

function isFree(lock: Lock, owner: LockOwner, mode: LockMode): boolean {
  for (const [holder, held] of lock.holders) {
    if (holder !== owner && conflicts(held, mode)) return false;
  }
  return true;
}
