import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** The ids of a process's direct children; empty when it has none or is gone. */
export function childrenOf(pid: number): readonly number[] {
  return process.platform === 'linux' ? childrenFromProc(pid) : childrenFromPs(pid);
}

function childrenFromProc(parent: number): readonly number[] {
  const children: number[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // The command may hold blanks and brackets; what follows the last bracket may not.
      const [state, parentId] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(parentId) === parent && state !== 'Z') children.push(Number(name));
    } catch {
      // It ended while we were looking.
    }
  }
  return children;
}

function childrenFromPs(parent: number): readonly number[] {
  const lines = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).stdout ?? '';
  return lines
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, ppid]) => ppid === parent)
    .map(([pid]) => pid as number);
}

/** Sends a signal; false when the process no longer exists. */
export function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** True while the process runs; one that has ended and only waits to be collected does not. */
export function isRunning(pid: number): boolean {
  if (!signalProcess(pid, 0)) return false;
  if (process.platform !== 'linux') return true;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2] !== 'Z';
  } catch {
    return false;
  }
}

/**
 * Stops a process and all its children where they stand (SIGSTOP), the parent first so that it
 * starts no further ones. Returns the ids, the parent's first.
 */
export function freezeTree(pid: number): readonly number[] {
  signalProcess(pid, 'SIGSTOP');
  const children = childrenOf(pid);
  for (const child of children) signalProcess(child, 'SIGSTOP');
  return [pid, ...children];
}

/** Undoes `freezeTree`, the children first. */
export function thawTree(pid: number): void {
  for (const child of childrenOf(pid)) signalProcess(child, 'SIGCONT');
  signalProcess(pid, 'SIGCONT');
}

/** SIGKILL to a process and all its children, as a power failure would end them. */
export function killTree(pid: number): void {
  // Frozen first: a parent that lives on would start new children between list and kill.
  for (const member of freezeTree(pid)) signalProcess(member, 'SIGKILL');
}
