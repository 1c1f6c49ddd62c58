import { setTimeout as sleep } from 'node:timers/promises';
import { demoProfile } from '../gates/index.ts';
import { monotonicMs } from './ledger.ts';
import { LiveView } from './live-view.ts';
import { type DemoResult, type Judgement, noFacts, renderProof, resultOf } from './proof.ts';
import * as forward from './story-forward.ts';
import type { StoryOptions } from './story-options.ts';
import * as proving from './story-proving.ts';
import * as ending from './story-switch.ts';
import { openWorld, type StoryWorld, Undertaker } from './story-world.ts';
import { openTerminal } from './terminal.ts';
import { count } from './terminal-style.ts';

export interface DemoStreams {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A whole migration from check to retired, then its judgement. */
async function tell(world: StoryWorld): Promise<Judgement> {
  await forward.check(world);
  await forward.openTheShop(world);
  await forward.dualWrite(world);
  await forward.backfill(world);
  await forward.outage(world);
  await forward.killBetweenTwoWrites(world);
  await proving.verifyAll(world);
  await proving.shadowReads(world);
  await proving.openReadSwitch(world);
  await proving.dial(world, [1, 5, 25]);
  await proving.wrongRow(world);
  await proving.rollback(world);
  await proving.dial(world, [100]);
  await ending.writeSwitch(world);
  await ending.reverse(world);
  const meeting = await ending.lastMeeting(world);
  await ending.retire(world);
  return ending.judge(world, meeting);
}

/**
 * Runs the demo: its own servers, two application processes, one migration, the proof. Returns the exit status: 0 when every promise was
 * kept, 1 when not, 130 after Ctrl-C. Whatever happens, no process and no file of it is left behind.
 */
export async function runDemo(options: StoryOptions, streams: DemoStreams): Promise<number> {
  const begun = monotonicMs();
  const elapsedMs = (): number => monotonicMs() - begun;
  const terminal = openTerminal({
    stream: options.json ? streams.stderr : streams.stdout,
    env: streams.env,
    elapsedMs,
    live: !options.json,
  });
  const interruption = listenForInterruption();
  const view = new LiveView(terminal, elapsedMs);
  const undertaker = new Undertaker();
  const { signal } = interruption;
  let world: StoryWorld | null = null;
  let judgement: Judgement | null = null;
  let error: string | null = null;
  try {
    terminal.event(
      'begin',
      'changeover',
      `a legacy shop of ${count(options.rows)} customers moves to a new model under live traffic`,
    );
    terminal.event(
      'info',
      'gates',
      `they run with the "${demoProfile.name}": short proofs for a short show, not for production`,
    );
    world = await openWorld({ options, signal, terminal, view, undertaker });
    judgement = await orInterrupted(tell(world), signal);
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown);
    if (streams.env['CHANGEOVER_DEMO_TRACE'] && thrown instanceof Error)
      streams.stderr.write(`${thrown.stack}\n`);
  }
  view.close();
  terminal.close();
  const result = resultOf({
    facts: world?.facts ?? noFacts(),
    judgement,
    rows: options.rows,
    profile: demoProfile.name,
    durationMs: elapsedMs(),
    error: interruption.interrupted() ? 'interrupted' : error,
  });
  if (!interruption.interrupted()) {
    terminal.block(renderProof(result, terminal.width, terminal.paint));
    if (options.json) await writeLine(streams.stdout, JSON.stringify(result));
    if (options.keep && world) await keepOpen(world, interruption);
  }
  await undertaker.endAll((message) =>
    streams.stderr.write(`changeover: at the end: ${message}\n`),
  );
  interruption.release();
  return exitStatus(result, judgement === null && interruption.interrupted());
}

function exitStatus(result: DemoResult, interrupted: boolean): number {
  if (interrupted) return 130;
  return result.ok ? 0 : 1;
}

async function keepOpen(world: StoryWorld, interruption: Interruption): Promise<void> {
  const { servers, terminal, signal } = world;
  terminal.block([
    '  The databases stay up until Ctrl-C:',
    `    source  ${servers.sourceUrl}`,
    `    target  ${servers.targetUrl}`,
    '',
  ]);
  while (!interruption.interrupted()) {
    await sleep(60_000, undefined, { signal }).catch(() => {});
  }
}

/** The story's own waits end with the signal; what an engine is doing at that moment is left behind, and its stores are closed. */
async function orInterrupted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (onAbort) signal.removeEventListener('abort', onAbort);
    // It goes on to fail once everything is closed; nobody asks any more.
    work.catch(() => {});
  }
}

interface Interruption {
  readonly signal: AbortSignal;
  interrupted(): boolean;
  release(): void;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** A terminal and a starter script may both pass on one Ctrl-C; only a later one means "now". */
const impatienceMs = 1_000;

/** The first signal ends the story in order, a second one at once: servers and applications notice and end by themselves. */
function listenForInterruption(): Interruption {
  const controller = new AbortController();
  let firstAt: number | null = null;
  const onSignal = (): void => {
    if (firstAt === null) {
      firstAt = monotonicMs();
      controller.abort(new Error('interrupted'));
    } else if (monotonicMs() - firstAt > impatienceMs) process.exit(130);
  };
  for (const name of signals) process.on(name, onSignal);
  return {
    signal: controller.signal,
    interrupted: () => controller.signal.aborted,
    release: () => {
      for (const name of signals) process.off(name, onSignal);
    },
  };
}

function writeLine(stream: NodeJS.WriteStream, line: string): Promise<void> {
  return new Promise((resolve) => stream.write(`${line}\n`, () => resolve()));
}
