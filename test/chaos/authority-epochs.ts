import type { LedgerLine } from '../../src/demo/ledger.ts';

/** An acknowledged write with the version that its token names. */
export interface VersionedWrite {
  readonly op: string;
  readonly id: string;
  readonly from: number;
  readonly to: number;
  readonly epoch: bigint;
  readonly sequence: bigint;
}

/** Acknowledged writes that carry a token, with what it says. Read by hand: the judge uses nothing that it judges. */
export function versionedWrites(
  ledgers: readonly (readonly LedgerLine[])[],
): readonly VersionedWrite[] {
  const writes: VersionedWrite[] = [];
  for (const lines of ledgers) {
    const begun = new Map<string, { readonly id: string; readonly at: number }>();
    for (const line of lines) {
      if (line.t === 'intent') begun.set(line.op, line);
      if (line.t !== 'ack' || line.token === null) continue;
      const start = begun.get(line.op);
      const match = /^v1~[^:]+:(\d+)\.(\d+)/.exec(line.token);
      if (!start || !match) throw new Error(`the token of write ${line.op} cannot be read`);
      const [epoch, sequence] = [BigInt(match[1] as string), BigInt(match[2] as string)];
      writes.push({ op: line.op, id: start.id, from: start.at, to: line.at, epoch, sequence });
    }
  }
  return writes;
}

/**
 * One authority at all times, by the ledgers alone. Each authority has an epoch of its own, and:
 * - once a write of a later epoch was acknowledged, no write that begins afterwards is acknowledged by an older one, on any process;
 * - two writes of one key that do not overlap have rising versions.
 */
export function judgeAuthority(writes: readonly VersionedWrite[]): readonly string[] {
  return [...staleEpochs(writes), ...fallingVersions(writes)];
}

function staleEpochs(writes: readonly VersionedWrite[]): readonly string[] {
  const byEnd = [...writes].sort((a, b) => a.to - b.to);
  const byStart = [...writes].sort((a, b) => a.from - b.from);
  const faults: string[] = [];
  let newest: VersionedWrite | null = null;
  let ended = 0;
  for (const write of byStart) {
    for (; (byEnd[ended]?.to ?? Number.POSITIVE_INFINITY) < write.from; ended++) {
      const one = byEnd[ended] as VersionedWrite;
      if (newest === null || one.epoch > newest.epoch) newest = one;
    }
    if (newest !== null && write.epoch < newest.epoch)
      faults.push(
        `two authorities: write ${write.op} was acknowledged by epoch ${write.epoch} although it began after write ${newest.op} of epoch ${newest.epoch} had ended`,
      );
  }
  return faults;
}

function fallingVersions(writes: readonly VersionedWrite[]): readonly string[] {
  const byKey = new Map<string, VersionedWrite[]>();
  for (const write of writes) {
    const list = byKey.get(write.id);
    if (list) list.push(write);
    else byKey.set(write.id, [write]);
  }
  const faults: string[] = [];
  for (const [id, list] of byKey) {
    const byStart = [...list].sort((a, b) => a.from - b.from);
    const byEnd = [...list].sort((a, b) => a.to - b.to);
    let newest: VersionedWrite | null = null;
    let ended = 0;
    for (const write of byStart) {
      for (; (byEnd[ended]?.to ?? Number.POSITIVE_INFINITY) < write.from; ended++) {
        const one = byEnd[ended] as VersionedWrite;
        if (newest === null || isOlder(newest, one)) newest = one;
      }
      if (newest !== null && !isOlder(newest, write))
        faults.push(
          `versions fall: customer ${id} had ${newest.epoch}.${newest.sequence}, and a later write got ${write.epoch}.${write.sequence}`,
        );
    }
  }
  return faults;
}

const isOlder = (a: VersionedWrite, b: VersionedWrite): boolean =>
  a.epoch < b.epoch || (a.epoch === b.epoch && a.sequence < b.sequence);
