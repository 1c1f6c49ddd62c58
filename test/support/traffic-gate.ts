import type { Side } from '../../src/migration/index.ts';
import type { TrafficHook } from '../../src/traffic/index.ts';

/** A user's gate before the stores: what all processes see of it. */
export class Gate {
  held = false;
  leadsTo: Side = 'source';
  readonly calls: string[] = [];
  hook(own: Partial<TrafficHook> = {}): TrafficHook {
    return {
      name: 'the gate',
      hold: async () => {
        this.calls.push('hold');
        this.held = true;
      },
      release: async (to) => {
        this.calls.push(`release ${to}`);
        this.leadsTo = to;
        this.held = false;
      },
      ...own,
    };
  }
}
