import type { MigrationContext } from '../control/index.ts';
import type { ChangeoverEvent } from '../migration/index.ts';

type Attributes = Record<string, string | number | boolean>;

/** The part of an OpenTelemetry span that is used here. */
interface BridgedSpan<C> {
  spanContext(): C;
  setStatus(status: { code: number; message?: string }): unknown;
  end(endTime?: number): void;
}

/** The part of `@opentelemetry/api` that is used here; pass the module's `trace`. The library itself does not import it. */
export interface TraceApi<C> {
  getTracer(name: string): {
    startSpan(
      name: string,
      options: {
        root?: boolean;
        startTime?: number;
        attributes?: Attributes;
        links?: { context: C }[];
      },
    ): BridgedSpan<C>;
  };
  getActiveSpan(): { spanContext(): C } | undefined;
}

/** SpanStatusCode.ERROR of the OpenTelemetry API. */
const errorStatus = 2;

/**
 * Makes spans of writes, reads, follower writes, shadow reads and the steps of a change of authority, from the events that end them. A shadow
 * read and a follower write are roots of their own, linked to the request's span: they outlive the request and must not lengthen its trace.
 * The returned function ends the bridge.
 *
 * ```ts
 * import { trace } from '@opentelemetry/api';
 * const stop = bridgeSpans(context, trace);
 * ```
 */
export function bridgeSpans<C>(
  context: Pick<MigrationContext, 'migration' | 'events' | 'runtime'>,
  api: TraceApi<C>,
): () => void {
  const tracer = api.getTracer('changeover');
  const { clock } = context.runtime;
  return context.events.subscribe((event) => {
    const span = spanOf(event);
    if (!span) return;
    const endTime = clock.now();
    const request = span.detached ? api.getActiveSpan() : undefined;
    const started = tracer.startSpan(span.name, {
      root: span.detached,
      startTime: endTime - span.ms,
      attributes: { 'changeover.migration': context.migration.name, ...span.attributes },
      ...(request && { links: [{ context: request.spanContext() }] }),
    });
    if (span.failed) started.setStatus({ code: errorStatus });
    started.end(endTime);
  });
}

interface SpanFacts {
  readonly name: string;
  readonly ms: number;
  readonly detached: boolean;
  readonly failed: boolean;
  readonly attributes: Attributes;
}

function spanOf(event: ChangeoverEvent): SpanFacts | null {
  switch (event.type) {
    case 'write': {
      const { collection, phase, outcome, totalMs, authorityMs } = event;
      return {
        name: `changeover write ${collection}`,
        ms: totalMs,
        detached: false,
        failed: outcome !== 'committed',
        attributes: attributesOf({ collection, phase, outcome, authority_ms: authorityMs }),
      };
    }
    case 'read': {
      const { collection, servedBy, why, outcome, ms } = event;
      return {
        name: `changeover read ${collection}`,
        ms,
        detached: false,
        failed: outcome === 'failed',
        attributes: attributesOf({ collection, served_by: servedBy, why, outcome }),
      };
    }
    case 'follower-write':
    case 'shadow-read': {
      const { type, collection, outcome, ms } = event;
      if (outcome === 'shed') return null;
      return {
        name: `changeover ${type} ${collection}`,
        ms,
        detached: true,
        failed: outcome === 'failed' || outcome === 'timed-out',
        attributes: attributesOf({ collection, outcome }),
      };
    }
    case 'cutover': {
      const { step, attempt, outcome, ms } = event;
      if (outcome === 'begun') return null;
      return {
        name: `changeover cutover ${step}`,
        ms,
        detached: false,
        failed: outcome === 'failed',
        attributes: attributesOf({ step, attempt, outcome }),
      };
    }
    default:
      return null;
  }
}

function attributesOf(values: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`changeover.${name}`, value]),
  );
}
