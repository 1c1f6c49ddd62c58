import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import type { Scalar } from '../../record/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import { withDeadline } from '../../runtime/index.ts';
import { toChangeoverError } from './postgres-errors.ts';
import type { PostgresTransaction } from './postgres-session.ts';

/** Bytes that are encoded before they are handed on; the socket's own back-pressure bounds the rest. */
const BUFFER_BYTES = 64 * 1024;

const special = /[\\\t\n\r]/;
const escapes: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
};

function field(value: Scalar): string {
  if (value === null) return '\\N';
  return special.test(value) ? value.replace(/[\\\t\n\r]/g, (one) => escapes[one] ?? one) : value;
}

/** Rows in the text format of COPY. */
export function* encodeRows(rows: Iterable<readonly Scalar[]>): Generator<Buffer> {
  let text = '';
  for (const row of rows) {
    for (let index = 0; index < row.length; index += 1)
      text += index === 0 ? field(row[index] ?? null) : `\t${field(row[index] ?? null)}`;
    text += '\n';
    if (text.length >= BUFFER_BYTES) {
      yield Buffer.from(text);
      text = '';
    }
  }
  if (text.length > 0) yield Buffer.from(text);
}

export interface CopyLimits {
  readonly runtime: Runtime;
  readonly timeoutMs: number;
  readonly what: string;
}

/** `COPY … FROM STDIN` inside a transaction; number of rows. The rows are never all in memory twice. */
export async function copyRowsIn(
  transaction: PostgresTransaction,
  statement: string,
  rows: Iterable<readonly Scalar[]>,
  limits: CopyLimits,
): Promise<number> {
  const client = await transaction.client();
  const sink = client.query(copyFrom(statement));
  await piped(
    Readable.from(encodeRows(rows), { objectMode: true, highWaterMark: 4 }),
    sink,
    limits,
  );
  return sink.rowCount;
}

/** `COPY … FROM STDIN` of bytes in COPY's own format; number of rows. What the reading end throws of ours is thrown on. */
export async function copyBytesIn(
  transaction: PostgresTransaction,
  statement: string,
  bytes: Readable,
  limits: CopyLimits,
): Promise<number> {
  const client = await transaction.client();
  const sink = client.query(copyFrom(statement));
  await piped(bytes, sink, limits);
  return sink.rowCount;
}

/** Bytes of `COPY … TO STDOUT` on one server into `COPY … FROM STDIN` on another, not looked at; number of rows. */
export async function copyThrough(
  source: PostgresTransaction,
  statementOut: string,
  target: PostgresTransaction,
  statementIn: string,
  limits: CopyLimits,
): Promise<number> {
  const [out, into] = [await source.client(), await target.client()];
  const origin = out.query(copyTo(statementOut));
  const sink = into.query(copyFrom(statementIn));
  await piped(origin, sink, limits);
  return sink.rowCount;
}

async function piped(
  origin: Readable,
  sink: NodeJS.WritableStream,
  limits: CopyLimits,
): Promise<void> {
  const stop = new AbortController();
  try {
    const flow = pipeline(origin, sink, { signal: stop.signal });
    await withDeadline(limits.runtime.clock, limits.timeoutMs, limits.what, flow);
  } catch (error) {
    stop.abort();
    throw toChangeoverError(error, limits.what);
  }
}
