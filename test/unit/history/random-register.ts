import type { Random } from '../../../src/runtime/index.ts';
import type {
  Operation,
  ReadOperation,
  WriteOperation,
} from '../../../src/testing/history/index.ts';

export interface RandomHistory {
  readonly operations: readonly Operation[];
  /** The same with one or two details changed, at random: sound or not. */
  readonly spoiled: readonly Operation[];
  /** With `observed`: what the authority's reads saw of one write is what was there before. */
  readonly lost: readonly Operation[];
  /** With `observed`: two writes in turn are seen in the other order. */
  readonly swapped: readonly Operation[];
}

interface Wanted {
  readonly operations: number;
  readonly keys: number;
  /** Every operation is over before the next begins, and each write is read afterwards. */
  readonly observed?: boolean;
}

/** What clients of a register saw that takes each operation at one moment, and answers some reads from its past, as a follower does. */
export function randomHistory(random: Random, wanted: Wanted): RandomHistory {
  const register = new Register(random);
  const operations: Operation[] = [];
  if (wanted.observed) operations.push(...register.inTurn(wanted.operations));
  else
    for (let at = 0; at < wanted.operations; at++)
      operations.push(register.operate(at, `k${Math.floor(random.next() * wanted.keys)}`));
  return {
    operations,
    spoiled: spoil(random, operations),
    lost: wanted.observed ? losing(random, operations) : [],
    swapped: wanted.observed ? swapping(random, operations) : [],
  };
}

class Register {
  readonly #random: Random;
  /** Key → its states, oldest first, each with the write that made it and its moment. */
  readonly #states = new Map<string, { value: string | null; by: string; at: number }[]>();
  readonly #tokens = new Map<string, WriteOperation[]>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** The moments at which operations take effect rise; around each, its call and its answer. */
  operate(number: number, key: string): Operation {
    const moment = number;
    const from = moment - this.#random.next() * 4;
    const to = moment + this.#random.next() * 4;
    const dice = this.#random.next();
    if (dice < 0.5) return this.#write(number, key, { from, to, moment });
    return this.#read(number, key, { from, to, moment });
  }

  inTurn(count: number): readonly Operation[] {
    const operations: Operation[] = [];
    for (let at = 0; at < count; at += 2) {
      const times = (moment: number) => ({ from: moment - 0.2, to: moment + 0.2, moment });
      operations.push(this.#take(`w${at}`, 'k', `v${at}`, times(at)));
      const value = this.#stateAt('k', at + 1);
      operations.push(reading(at + 1, 'k', value, times(at + 1)));
    }
    return operations;
  }

  #write(
    number: number,
    key: string,
    times: { readonly from: number; readonly to: number; readonly moment: number },
  ): WriteOperation {
    const value = this.#random.next() < 0.3 ? null : `v${number}`;
    const id = `w${number}`;
    const fate = this.#random.next();
    const never = writing(id, key, value, times);
    if (fate < 0.05) return { ...never, outcome: 'failed' };
    if (fate < 0.1) return { ...never, outcome: 'unknown', to: Number.POSITIVE_INFINITY };
    const write = this.#take(id, key, value, times);
    if (fate < 0.15) return { ...write, outcome: 'unknown', to: Number.POSITIVE_INFINITY };
    const acknowledged = this.#tokens.get(key) ?? [];
    this.#tokens.set(key, [...acknowledged.slice(-5), write]);
    return write;
  }

  #take(
    id: string,
    key: string,
    value: string | null,
    times: { readonly from: number; readonly to: number; readonly moment: number },
  ): WriteOperation {
    const states = this.#states.get(key) ?? [];
    states.push({ value, by: id, at: times.moment });
    this.#states.set(key, states);
    return writing(id, key, value, times);
  }

  #stateAt(key: string, moment: number): string | null {
    return this.#states.get(key)?.findLast(({ at }) => at <= moment)?.value ?? null;
  }

  #read(
    number: number,
    key: string,
    times: { readonly from: number; readonly to: number; readonly moment: number },
  ): ReadOperation {
    const latest = reading(number, key, this.#stateAt(key, times.moment), times);
    if (this.#random.next() < 0.4) return latest;
    const states = this.#states.get(key) ?? [];
    const tokens = (this.#tokens.get(key) ?? []).filter(({ to }) => to <= times.from);
    const token = tokens[Math.floor(this.#random.next() * tokens.length * 2)];
    const least = token ? states.findIndex(({ by }) => by === token.id) : -1;
    const at = least + Math.floor(this.#random.next() * (states.length - least));
    const value = at < 0 ? null : states[at]!.value;
    return { ...latest, route: 'any', value, token: token?.id ?? null };
  }
}

const writing = (
  id: string,
  key: string,
  value: string | null,
  { from, to }: { readonly from: number; readonly to: number },
): WriteOperation => ({
  kind: 'write',
  id,
  key,
  value,
  process: 'p',
  from,
  to,
  outcome: 'ok',
  epoch: 1,
});

const reading = (
  number: number,
  key: string,
  value: string | null,
  { from, to }: { readonly from: number; readonly to: number },
): ReadOperation => ({
  kind: 'read',
  id: `r${number}`,
  key,
  value,
  process: 'p',
  from,
  to,
  token: null,
  route: 'authority',
  epoch: 1,
});

/** Drops an acknowledgement, swaps two answers, moves a call, or lets a read see something else. */
function spoil(random: Random, operations: readonly Operation[]): readonly Operation[] {
  const spoiled = [...operations];
  const any = (): number => Math.floor(random.next() * spoiled.length);
  for (let times = 1 + Math.floor(random.next() * 2); times > 0; times--) {
    const [one, other] = [any(), any()];
    const [a, b] = [spoiled[one]!, spoiled[other]!];
    const values = [null, ...spoiled.map(({ value }) => value)];
    if (a.kind === 'read' && random.next() < 0.7) {
      const value = values[Math.floor(random.next() * values.length)]!;
      spoiled[one] =
        random.next() < 0.5 ? { ...a, value } : { ...a, route: 'authority', token: null };
    } else if (a.kind === 'write' && a.outcome === 'ok' && random.next() < 0.3) {
      const presented = spoiled.some((other) => other.kind === 'read' && other.token === a.id);
      if (!presented) spoiled[one] = { ...a, outcome: 'failed' };
    } else if (a.kind === 'write' && b.kind === 'write') {
      spoiled[one] = { ...a, value: b.value };
      spoiled[other] = { ...b, value: a.value };
    }
  }
  return spoiled;
}

function losing(random: Random, operations: readonly Operation[]): readonly Operation[] {
  const at = 2 * (1 + Math.floor(random.next() * (operations.length / 2 - 1)));
  const before = operations[at - 2]!.value;
  return operations.map((one, index) => (index === at + 1 ? { ...one, value: before } : one));
}

function swapping(random: Random, operations: readonly Operation[]): readonly Operation[] {
  const at = 2 * Math.floor(random.next() * (operations.length / 2 - 1));
  const [one, other] = [operations[at]!.value, operations[at + 2]!.value];
  return operations.map((each, index) => {
    if (index === at + 1) return { ...each, value: other };
    return index === at + 3 ? { ...each, value: one } : each;
  });
}
