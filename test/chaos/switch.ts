/**
 * Chaos for the change of authority (`npm run chaos -- switch`): at each of its named steps each fault, on real servers, with real processes
 * under load. Prints a matrix; exits 1 when a cell is not good, 2 for a wrong option, 130 after Ctrl-C.
 */
import { seededRandom } from '../../src/runtime/index.ts';
import { type Cell, type CellResult, runCell } from './switch-cell.ts';
import { matrixLines } from './switch-matrix.ts';
import { parseSwitchOptions, type SwitchChaosOptions } from './switch-options.ts';
import { openSwitchWorld, type SwitchWorld } from './switch-world.ts';

type Say = SwitchWorld['say'];

/** The exit code. */
export async function switchChaos(args: readonly string[]): Promise<number> {
  let options: SwitchChaosOptions;
  try {
    options = parseSwitchOptions(args);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return 2;
  }
  const begun = performance.now();
  const out = options.json ? process.stderr : process.stdout;
  const say: Say = (topic, text) => {
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1).padStart(6);
    out.write(`${seconds}  ${topic.padEnd(12)} ${text}\n`);
  };
  const { seed, timing, mode, capture } = options;
  say('chaos', `switch, seed ${seed}, ${timing} each step, writes ${mode}, by ${capture}`);
  const matrix = new Matrix(options, say);
  const interrupted = new Promise<null>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(name, () => resolve(null));
  });
  try {
    const work = matrix.run();
    work.catch(() => {});
    const results = await Promise.race([work, interrupted]);
    if (results === null) return 130;
    out.write(`\n${matrixLines(options, results).join('\n')}\n`);
    const ms = Math.round(performance.now() - begun);
    if (options.json) process.stdout.write(`${JSON.stringify({ seed, ms, cells: results })}\n`);
    return results.every(({ ok }) => ok) ? 0 : 1;
  } finally {
    await matrix.stop();
  }
}

/** The cells in an order that needs few ways back, in worlds that last until a cell fails. */
class Matrix {
  readonly #options: SwitchChaosOptions;
  readonly #say: Say;
  #world: SwitchWorld | null = null;
  #opening: Promise<SwitchWorld> | null = null;

  constructor(options: SwitchChaosOptions, say: Say) {
    this.#options = options;
    this.#say = say;
  }

  async run(): Promise<readonly CellResult[]> {
    const there = cells(this.#options, 'target');
    const back = backCells(this.#options);
    const total = there.length + back.length;
    const results: CellResult[] = [];
    while (there.length + back.length > 0) {
      const to = await this.#direction();
      const next = (to === 'target' ? there : back).shift();
      // Nothing to do in this direction: a change without a fault, which is judged like any other.
      const result = await this.#runCell(next ?? { to, step: 'preflight', fault: 'none' });
      if (next || !result.ok) results.push(result);
      this.#tell(result, next ? `${results.length}/${total}` : 'between');
    }
    return results;
  }

  async stop(): Promise<void> {
    const world = this.#world ?? (await this.#opening?.catch(() => null)) ?? null;
    this.#world = null;
    this.#opening = null;
    await world?.stop();
  }

  async #open(): Promise<SwitchWorld> {
    if (this.#world) return this.#world;
    this.#opening ??= openSwitchWorld(this.#options, this.#say);
    this.#world = await this.#opening;
    return this.#world;
  }

  async #direction(): Promise<Cell['to']> {
    const { opened } = await this.#open();
    const { phase } = await opened.control.load(opened.migration.name);
    return phase === 'write-switch' ? 'source' : 'target';
  }

  async #runCell(cell: Cell): Promise<CellResult> {
    const result = await runCell(await this.#open(), cell);
    // What is broken must not spoil the next one.
    if (!result.ok) await this.stop();
    return result;
  }

  #tell(result: CellResult, number: string): void {
    const { to, step, fault, outcome, pauseMs, recoveredMs, failures, ms, ok } = result;
    const failed = Object.entries(failures).map(([code, count]) => `${code} ${count}`);
    const words = [
      `${ok ? '✓' : '✗'} to the ${to}, ${step}, ${fault}:`,
      `${outcome}, pause ${Math.round(pauseMs)} ms, all write again after ${Math.round(recoveredMs)} ms`,
      failed.length > 0 ? `(failed: ${failed.join(', ')})` : '',
      `[${(ms / 1_000).toFixed(1)} s]`,
    ];
    this.#say(number, words.filter((word) => word !== '').join(' '));
    for (const note of result.notes) this.#say('note', note);
    for (const problem of result.problems) this.#say('PROBLEM', problem);
    if (!ok || process.env['CHAOS_TRACE'])
      for (const line of result.account) this.#say('account', line);
    if (!ok) this.#say('again with', commandOf(this.#options, result));
  }
}

function cells({ steps, faults }: SwitchChaosOptions, to: Cell['to']): Cell[] {
  return steps.flatMap((step) => faults.map((fault) => ({ to, step, fault })));
}

function backCells(options: SwitchChaosOptions): Cell[] {
  const { back, faults, steps, seed } = options;
  if (back === 'none') return [];
  if (back === 'full') return cells(options, 'source');
  const random = seededRandom(seed + 13);
  return faults.flatMap((fault) => {
    const step = steps[Math.floor(random.next() * steps.length)];
    return step ? [{ to: 'source' as const, step, fault }] : [];
  });
}

function commandOf(options: SwitchChaosOptions, { to, step, fault }: Cell): string {
  const { seed, timing, mode, capture } = options;
  const back = to === 'source' ? 'full' : 'none';
  return `npm run chaos -- switch --seed ${seed} --steps ${step} --faults ${fault} --back ${back} --timing ${timing} --mode ${mode} --capture ${capture}`;
}
