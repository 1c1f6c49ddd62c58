import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ShopApplicationOptions, ShopCommand, ShopMessage } from './shop-messages.ts';

const answerTimeoutMs = 20_000;
const programName = import.meta.url.endsWith('.ts') ? 'shop-application.ts' : 'shop-application.js';
const program = fileURLToPath(new URL(programName, import.meta.url));

type MessageOf<T extends ShopMessage['type']> = Extract<ShopMessage, { readonly type: T }>;

/** One of the application processes, seen from the story. It can be killed and started again. */
export class ApplicationProcess {
  readonly name: string;
  readonly #options: ShopApplicationOptions;
  readonly #onMessage: (message: ShopMessage, from: ApplicationProcess) => void;
  readonly #onDeath: (how: string) => void;
  #child: ChildProcess | null = null;
  #incarnation = 0;
  /** True while an end of the process is what we want. */
  #endExpected = false;

  constructor(
    options: Omit<ShopApplicationOptions, 'incarnation'>,
    onMessage: (message: ShopMessage, from: ApplicationProcess) => void,
    onDeath: (how: string) => void,
  ) {
    this.#options = { ...options, incarnation: 0 };
    this.name = `application ${options.process + 1}`;
    this.#onMessage = onMessage;
    this.#onDeath = onDeath;
  }

  get ledgerPath(): string {
    return this.#options.ledgerPath;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process and waits until it serves. */
  async start(): Promise<void> {
    const options: ShopApplicationOptions = { ...this.#options, incarnation: this.#incarnation++ };
    this.#endExpected = false;
    const child = fork(program, [JSON.stringify(options)], {
      // Its stdout is not ours: `--json` promises that the last line there is the result.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child = child;
    child.on('message', (message) => this.#onMessage(message as ShopMessage, this));
    child.on('error', () => {});
    child.once('exit', (code, signal) => {
      if (this.#child === child) this.#child = null;
      if (!this.#endExpected) this.#onDeath(`${this.name} ended (${signal ?? `status ${code}`})`);
    });
    await this.#answer('ready', child);
  }

  send(command: ShopCommand): void {
    if (this.#child?.connected) this.#child.send(command);
  }

  /** Sends a command and waits for the answer of that type. */
  async ask<T extends ShopMessage['type']>(command: ShopCommand, type: T): Promise<MessageOf<T>> {
    const child = this.#child;
    if (!child) throw new Error(`${this.name} does not run`);
    const answer = this.#answer(type, child);
    child.send(command);
    return answer;
  }

  /** Arms the kill between the two writes and waits until the process is dead. */
  async killBetweenTwoWrites(): Promise<void> {
    const child = this.#child;
    if (!child) throw new Error(`${this.name} does not run`);
    this.#endExpected = true;
    const end = once(child, 'exit', { signal: AbortSignal.timeout(answerTimeoutMs) });
    child.send({ type: 'arm-kill' } satisfies ShopCommand);
    const [, signal] = (await end) as [number | null, string | null];
    if (signal !== 'SIGKILL') throw new Error(`${this.name} ended by ${signal}, not by SIGKILL`);
  }

  /** Ends the process in order. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    this.#endExpected = true;
    const end = once(child, 'exit', { signal: AbortSignal.timeout(answerTimeoutMs) });
    child.send({ type: 'stop' } satisfies ShopCommand);
    await end;
  }

  /** Ends the process at once, whatever it does. Returns when it is gone. Idempotent. */
  async destroy(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    this.#endExpected = true;
    const end = once(child, 'exit');
    child.kill('SIGKILL');
    await end;
  }

  #answer<T extends ShopMessage['type']>(type: T, child: ChildProcess): Promise<MessageOf<T>> {
    return new Promise((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer);
        child.off('message', onMessage);
        child.off('exit', onExit);
        if (error) reject(error);
      };
      const timer = setTimeout(
        () => finish(new Error(`${this.name} did not say "${type}" within ${answerTimeoutMs} ms`)),
        answerTimeoutMs,
      );
      const onExit = (): void => finish(new Error(`${this.name} ended before it said "${type}"`));
      const onMessage = (message: unknown): void => {
        if ((message as ShopMessage).type !== type) return;
        finish();
        resolve(message as MessageOf<T>);
      };
      child.on('message', onMessage);
      child.once('exit', onExit);
    });
  }
}
