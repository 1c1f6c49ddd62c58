import type { Side } from '../migration/index.ts';
import type { Finding, StoreSign } from '../store/index.ts';

/**
 * Holds traffic to the stores that does not go through a router, for the moment of a change of authority: a pooler, a proxy, a queue consumer, an
 * application with a pause button. Calls may come from any process that has the configuration (command line, worker), and again after a crash.
 *
 * States: flowing --hold--> held --release--> flowing. It protects no data, the guards in the stores do that: traffic that comes through
 * nevertheless is refused there. It keeps requests from failing.
 */
export interface TrafficHook {
  /** For people, in messages and findings. Default: `traffic`. */
  readonly name?: string;
  /** Where it leads for each side, as `host:port/database`: `changeover check` compares them with the stores' own addresses. */
  readonly leadsTo?: Readonly<Record<Side, readonly string[]>>;
  /** Could `hold` work now, and does everything point to `authority`? Changes nothing. `fail` and `unknown` refuse a switch before it begins. */
  check?(authority: Side): Promise<readonly Finding[]>;
  /** Just before a switch begins, with traffic flowing to `authority`: tries what can only be tried by doing it. A throw refuses the switch. */
  prepare?(authority: Side): Promise<void>;
  /**
   * Does what is led to `side` come to that store? Asks its sign there, over the way that traffic would take. Findings as of `check`; changes nothing. Asked with
   * `check`, and again behind `prepare`.
   */
  look?(side: Side, sign: StoreSign): Promise<readonly Finding[]>;
  /**
   * Lets no new statement or transaction begin and resolves when nothing is in flight. Rejects after `ms` at the latest, and then
   * holds nothing. A rejection undoes the switch.
   */
  hold(ms: number): Promise<void>;
  /**
   * Points everything to `to` and lets it go on. Idempotent, also where nothing was held: after each attempt that was begun, by
   * whoever ends it, until it has once resolved.
   */
  release(to: Side): Promise<void>;
}
