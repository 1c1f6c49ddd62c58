import { createRouter, type Router } from '../../src/router/index.ts';
import { Client } from './client.ts';
import { feedWriter } from './feed-writer.ts';
import { type Ledger, routerTimes } from './ledger.ts';
import type { Running, World } from './world.ts';

/** Opens a router, again until it succeeds, and lets clients work with it. */
export function applicationMain(world: World, ledger: Ledger) {
  return async (running: Running): Promise<void> => {
    const { clock } = running.runtime;
    let router: Router | null = null;
    while (router === null) {
      try {
        router = await createRouter(running.context, routerTimes);
      } catch {
        await clock.sleep(50);
      }
    }
    for (let client = 0; client < world.scenario.clientsEach; client++) {
      void new Client(world, ledger, running, router).work();
    }
  };
}

/** Writes to the source for ever, as a program would that nobody has told of the migration. */
export function rogueMain(world: World, ledger: Ledger) {
  return async (running: Running): Promise<void> => {
    const { clock, random } = running.runtime;
    const mark = { kind: 'application', epoch: 1 };
    const writer = feedWriter(world, running.process.name, 'source', mark);
    while (!world.stopping && !world.violation) {
      await clock.sleep(20 + random.next() * 60);
      // It is captured only once the trigger is there; before the start nobody listens.
      const id = String(Math.floor(random.next() * world.scenario.keys));
      ledger.stamps += 1;
      const stamp = `w${ledger.stamps}`;
      await writer.put('feed', [id], { id, body: 'rogue', stamp }).catch(() => {});
    }
  };
}
