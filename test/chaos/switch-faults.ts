import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../src/runtime/index.ts';
import type { Child } from './child.ts';
import { between, choose, restart } from './faults.ts';
import type { SwitchFaultName } from './switch-options.ts';
import { leaseMs, type ServerName, type SwitchWorld } from './switch-world.ts';

/** A fault that has struck. */
export interface Struck {
  /** What was done, for the account. */
  readonly what: string;
  /** Instances that cannot be expected to go on meanwhile. */
  readonly hit: readonly Child[];
  /** Puts it right after its time, at the latest some time after the change of authority has `ended`; resolves when it is right again. */
  heal(ended: Promise<unknown>): Promise<void>;
  /** A new coordinator is there; for the next cell, the application does not wait for it. */
  readonly successor?: Promise<void>;
}

type SwitchFault = (world: SwitchWorld, random: Random) => Promise<Struck>;

const readyMs = 180_000;
const frozenMaxMs = 12_000;
const wakesAfterMs = 200;
const hourMs = 3_600_000;

/** A process that was killed is started again, and is there when it says so. */
async function again(world: SwitchWorld, child: Child): Promise<void> {
  const ready = world.next(child, ['ready'], readyMs);
  child.start();
  await ready;
}

const killCoordinator: SwitchFault = async (world) => {
  await world.coordinator.kill();
  const successor = again(world, world.coordinator);
  successor.catch(() => {});
  return { what: 'kill -9 of the coordinator', hit: [], heal: async () => {}, successor };
};

const killInstance: SwitchFault = async (world, random) => {
  const child = choose(world.applications, random);
  const downMs = between(random, 50, 2_000);
  await child.kill();
  return {
    what: `kill -9 of ${child.name}, started again after ${downMs} ms`,
    hit: [child],
    async heal() {
      await sleep(downMs);
      await again(world, child);
    },
  };
};

/** Past its lease, and past the end of the change of authority: it wakes up in another world. */
const freezeInstance: SwitchFault = async (world, random) => {
  const child = choose(world.applications, random);
  const thaw = child.suspend(frozenMaxMs);
  return {
    what: `SIGSTOP of ${child.name} until the change is over, ${leaseMs + 500} ms at least`,
    hit: [child],
    async heal(ended) {
      const over = ended.then(() => sleep(wakesAfterMs));
      await Promise.all([
        sleep(leaseMs + 500),
        Promise.race([over, sleep(frozenMaxMs - leaseMs - 500)]),
      ]);
      thaw();
    },
  };
};

function killServer(name: ServerName): SwitchFault {
  return async ({ servers }, random) => {
    const downMs = between(random, 50, 1_500);
    await servers[name].kill();
    return {
      what: `kill -9 of the ${name}, started again after ${downMs} ms`,
      hit: [],
      async heal() {
        await sleep(downMs);
        await restart(servers[name]);
      },
    };
  };
}

/** Connections are reset, and new ones refused. */
function cutNetwork(name: ServerName): SwitchFault {
  return async ({ networks }, random) => {
    const ms = between(random, 100, 2_500);
    networks[name].refuse(true);
    networks[name].cut();
    return {
      what: `coordinator cut off from the ${name} for ${ms} ms`,
      hit: [],
      async heal() {
        await sleep(ms);
        networks[name].refuse(false);
      },
    };
  };
}

/** Packets vanish: what the coordinator says arrives, the answers do not; afterwards they come late. */
function muteNetwork(name: ServerName): SwitchFault {
  return async ({ networks }, random) => {
    const ms = between(random, 300, 4_000);
    const direction = random.next() < 0.7 ? 'down' : undefined;
    networks[name].freeze(direction);
    return {
      what: `${direction ? 'answers' : 'packets'} between the ${name} and the coordinator held back for ${ms} ms`,
      hit: [],
      async heal() {
        await sleep(ms);
        networks[name].resume();
      },
    };
  };
}

/** `runtime.clock.now()` of each process is set wrong; see chaos-clock.ts for what that is and is not. */
const jumpClocks: SwitchFault = async ({ applications, worker, coordinator }, random) => {
  const sign = random.next() < 0.5 ? 1 : -1;
  const [first, second] = applications;
  const set = (child: Child | undefined, offsetMs: number): void =>
    child?.send({ type: 'clock', offsetMs });
  set(first, sign * hourMs);
  set(second, -sign * hourMs);
  set(worker, -sign * hourMs);
  set(coordinator, sign * hourMs);
  // A message to another process takes a moment.
  await sleep(10);
  return {
    what: `wall clocks of application 1 and the coordinator ${sign > 0 ? 'forward' : 'back'} by an hour, of application 2 and the worker the other way`,
    hit: [],
    async heal(ended) {
      await ended;
      for (const child of [first, second, worker, coordinator]) set(child, 0);
    },
  };
};

export const switchFaults: Readonly<Record<SwitchFaultName, SwitchFault>> = {
  none: async () => ({ what: 'nothing', hit: [], heal: async () => {} }),
  'kill-coordinator': killCoordinator,
  'kill-instance': killInstance,
  'freeze-instance': freezeInstance,
  'kill-source': killServer('source'),
  'kill-target': killServer('target'),
  'kill-control': killServer('control'),
  'cut-source': cutNetwork('source'),
  'cut-target': cutNetwork('target'),
  'cut-control': cutNetwork('control'),
  'mute-source': muteNetwork('source'),
  'mute-target': muteNetwork('target'),
  'mute-control': muteNetwork('control'),
  'clock-jump': jumpClocks,
};
