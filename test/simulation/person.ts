import { isChangeoverError, messageOf } from '../../src/errors/index.ts';
import { authorityOf } from '../../src/migration/index.ts';
import { Violation } from '../../src/testing/simulation/index.ts';
import type { Running, World } from './world.ts';

/** Looks after the dead letters, as somebody has to: sends them again, and once all faults are over the target refuses nothing any more. */
export function personMain(world: World) {
  return async ({ context, runtime }: Running): Promise<void> => {
    const { clock, random } = runtime;
    while (!world.violation) {
      await clock.sleep(100 + random.next() * 300);
      try {
        const { phase } = await context.control.load(context.migration.name);
        if (phase === 'off') continue;
        const { queue } = context.stores[authorityOf(phase)];
        const dead = await queue.deadLetters(20);
        if (dead.length === 0) continue;
        await queue.resolveDead(
          'redrive',
          dead.map(({ id }) => id),
        );
        world.say(`${dead.length} dead letters are sent again`);
      } catch (error) {
        if (!isChangeoverError(error) || error.code === 'BUG')
          world.violate(new Violation('H', 'a person', `got ${messageOf(error)}`));
      }
    }
  };
}
