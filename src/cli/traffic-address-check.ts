import type { Side } from '../migration/index.ts';
import type { Finding } from '../store/index.ts';
import type { TrafficHook } from '../traffic/index.ts';

/**
 * Hooks that would lead traffic to another address than the store's own. Where that is another server, no guard refuses what is written there, and nobody sees it: so
 * it is said for both sides, before the switch. One server may have two names: a warning.
 *
 * @param displays addresses of the stores, as connectors show them; one that is no URL is passed over
 */
export function trafficAddressFindings(
  traffic: readonly TrafficHook[],
  displays: Readonly<Record<Side, string>>,
): readonly Finding[] {
  const found: Finding[] = [];
  for (const { name = 'traffic', leadsTo } of traffic) {
    for (const side of ['source', 'target'] as const) {
      const own = addressOf(displays[side]);
      const strange = own === null ? [] : (leadsTo?.[side] ?? []).filter((one) => one !== own);
      for (const address of strange)
        found.push({
          id: 'traffic/other-address',
          verdict: 'warn',
          message: `${name} leads to ${address} for the ${side}, which itself is ${own}. If these are two databases, what is written there is lost.`,
          fix: 'Make both addresses the same, unless they are two names of one server.',
        });
    }
  }
  return found;
}

/** `host:port/database`. */
function addressOf(display: string): string | null {
  if (!URL.canParse(display)) return null;
  const { protocol, hostname, port, pathname } = new URL(display);
  if (!/^postgres(ql)?:$/.test(protocol) || hostname === '' || pathname.includes('%')) return null;
  return `${hostname}:${port || '5432'}${pathname}`;
}
