import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ChildCommand, ChildMessage } from './child-messages.ts';

const restartMs = 400;
const stopTimeoutMs = 40_000;

export interface ChildEvents {
  readonly message: (message: ChildMessage, from: Child) => void;
  /** It ended, and we had not wanted that. It is started again by itself. */
  readonly died: (how: string, from: Child) => void;
}

/** A program of this folder in a process of its own, which is killed, frozen and started again. */
export class Child {
  readonly name: string;
  readonly #program: string;
  readonly #options: (incarnation: number) => object;
  readonly #events: ChildEvents;
  #process: ChildProcess | null = null;
  #incarnation = 0;
  /** Set while an end is what we want. */
  #endExpected = false;
  #closed = false;

  constructor(
    name: string,
    program: string,
    options: (incarnation: number) => object,
    events: ChildEvents,
  ) {
    this.name = name;
    this.#program = fileURLToPath(new URL(program, import.meta.url));
    this.#options = options;
    this.#events = events;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Starts it; returns at once. Does nothing while it runs. */
  start(): void {
    if (this.#process || this.#closed) return;
    this.#endExpected = false;
    const child = fork(this.#program, [JSON.stringify(this.#options(this.#incarnation++))], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#process = child;
    child.on('message', (message) => this.#events.message(message as ChildMessage, this));
    child.on('error', () => {});
    child.once('exit', (code, signal) => {
      if (this.#process === child) this.#process = null;
      if (this.#endExpected || this.#closed) return;
      this.#events.died(signal ?? `status ${code}`, this);
      void sleep(restartMs).then(() => this.start());
    });
  }

  send(command: ChildCommand): void {
    if (this.#process?.connected) this.#process.send(command, () => {});
  }

  /** kill -9; returns when it is gone. Idempotent. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child) return;
    this.#endExpected = true;
    const end = once(child, 'exit');
    child.kill('SIGKILL');
    await end;
  }

  /** Says that its end, by its own hand, is wanted; true when it came in time. It stays down then. */
  async endsWithin(ms: number): Promise<boolean> {
    const child = this.#process;
    if (!child) return false;
    this.#endExpected = true;
    const ended = await Promise.race([once(child, 'exit').then(() => true), sleep(ms, false)]);
    if (!ended) this.#endExpected = false;
    return ended;
  }

  /** SIGSTOP for so long, then SIGCONT, even when we are gone by then. */
  async freeze(ms: number): Promise<void> {
    const thaw = this.suspend(ms);
    await sleep(ms);
    thaw();
  }

  /** SIGSTOP until the returned function is called, or a second after `maxMs` by itself. */
  suspend(maxMs: number): () => void {
    const pid = this.pid;
    if (pid === undefined) return () => {};
    process.kill(pid, 'SIGSTOP');
    return this.#thawing(pid, maxMs);
  }

  async thawAfter(ms: number): Promise<void> {
    const pid = this.pid;
    if (pid === undefined) return;
    const thaw = this.#thawing(pid, ms);
    await sleep(ms);
    thaw();
  }

  #thawing(pid: number, maxMs: number): () => void {
    const script = `sleep ${(maxMs / 1_000 + 1).toFixed(1)}; kill -CONT ${pid}`;
    spawn('/bin/sh', ['-c', script], { detached: true, stdio: 'ignore' }).unref();
    return () => {
      if (this.pid === pid) process.kill(pid, 'SIGCONT');
    };
  }

  /** Ends it in order. False: it had to be killed. */
  async stop(): Promise<boolean> {
    this.#closed = true;
    const child = this.#process;
    if (!child) return true;
    const end = once(child, 'exit').then(() => true);
    child.send({ type: 'stop' } satisfies ChildCommand, () => {});
    const inOrder = await Promise.race([end, sleep(stopTimeoutMs, false)]);
    if (!inOrder) await this.kill();
    return inOrder;
  }

  /** Ends it at once and for good. Idempotent. */
  async destroy(): Promise<void> {
    this.#closed = true;
    await this.kill();
  }
}
