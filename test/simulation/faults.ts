import type { FaultRates } from './scenario.ts';
import type { World } from './world.ts';

/** Hangs a Damocles' sword over the world, by its seed, until the world is stopping. */
export function loosenFaults(world: World): void {
  const { random } = world;
  const kinds: Readonly<Record<keyof FaultRates, () => void>> = {
    crashMs: () => crash(world),
    pauseMs: () => pause(world),
    storeRestartMs: () => restartStore(world),
    partitionMs: () => partition(world),
    slowMs: () => slowDown(world),
    clockJumpMs: () => jumpClock(world),
  };
  for (const [kind, strike] of Object.entries(kinds)) {
    const meanMs = world.scenario.faults[kind as keyof FaultRates];
    if (meanMs === 0) continue;
    const next = (): void => {
      world.later(-Math.log(1 - random.next()) * meanMs, () => {
        if (world.stopping) return;
        strike();
        next();
      });
    };
    next();
  }
}

/** Everything is well again, for ever: dead roles come back, stopped ones go on. */
export function endFaults(world: World): void {
  world.network.heal();
  for (const database of Object.values(world.databases)) database.start();
  for (const [role, { process }] of world.running) {
    process.pausedUntil = Math.min(process.pausedUntil, world.now);
    if (!process.alive && role !== 'rogue') world.start(role);
  }
}

function pickRole(world: World): string {
  const { faultsHit } = world.scenario;
  const roles = [
    ...(faultsHit === 'workers' ? [] : world.roles('application')),
    ...(faultsHit === 'applications' ? [] : world.roles('worker')),
  ];
  return roles[Math.floor(world.random.next() * roles.length)]!;
}

function crash(world: World): void {
  const role = pickRole(world);
  if (!world.running.get(role)?.process.alive) return;
  world.kill(role);
  world.later(20 + world.random.next() * 400, () => {
    if (!world.stopping) world.start(role);
  });
}

function pause(world: World): void {
  const anybody = world.scenario.faultsHit === 'all';
  const role = anybody && world.random.next() < 0.1 ? 'operator1' : pickRole(world);
  const longest = world.scenario.pauseMaxMs;
  const ms = world.random.next() < 0.5 ? longest / 8 : longest;
  const duration = 50 + world.random.next() * ms;
  world.pause(role, duration);
  world.disturb(role, duration);
}

function restartStore(world: World): void {
  const database = world.databases[world.random.next() < 0.5 ? 'source' : 'target'];
  world.say(`${database.label} goes down`);
  database.stop();
  world.later(20 + world.random.next() * 200, () => {
    world.say(`${database.label} is back`);
    database.start();
  });
}

function partition(world: World): void {
  const role = pickRole(world);
  const running = world.running.get(role);
  if (!running) return;
  const { name } = running.process;
  const { cutFromControl, cutFromStore } = world.network;
  const duration = 100 + world.random.next() * 1_000;
  if (world.random.next() < 0.6) {
    world.say(`${name} is cut from the control store`);
    cutFromControl.add(name);
    world.disturb(role, duration);
    world.later(duration, () => cutFromControl.delete(name));
    return;
  }
  const pair = `${name}>${world.random.next() < 0.5 ? 'source' : 'target'}`;
  world.say(`${pair} is cut`);
  cutFromStore.add(pair);
  world.later(duration, () => cutFromStore.delete(pair));
}

function slowDown(world: World): void {
  const role = pickRole(world);
  const running = world.running.get(role);
  if (!running) return;
  const { name } = running.process;
  const duration = 200 + world.random.next() * 600;
  world.network.slowness.set(name, 4);
  world.disturb(role, duration);
  world.later(duration, () => world.network.slowness.delete(name));
}

function jumpClock(world: World): void {
  const hosts = world.allHosts;
  const host = hosts[Math.floor(world.random.next() * hosts.length)]!;
  host.offsetMs += (world.random.next() - 0.5) * 4_000;
  world.say(`the clock of ${host.name} is off by ${Math.round(host.offsetMs)} ms now`);
}
