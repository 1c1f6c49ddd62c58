/*
 * A thread of the backfill: opens the migration for itself, with connections of its own, and works on chunks that the main thread has begun.
 * State: opening → ready (answers requests) → ended by the main thread.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { createWorkshop, type PreparedChunk } from '../backfill/index.ts';
import { ChangeoverError } from '../errors/index.ts';
import { collectionOf, otherSide } from '../migration/index.ts';
import { fileOf } from './config-folder.ts';
import { loadConfig } from './load-config.ts';
import { openMigration } from './open-migration.ts';
import {
  type PreparedFacts,
  sentError,
  type ThreadAnswer,
  type ThreadData,
  type ThreadRequest,
} from './workshop-messages.ts';

const data = workerData as ThreadData;
const port = parentPort;
const chunks = new Map<number, PreparedChunk>();
let lastChunk = 0;

async function open() {
  const { path, digest } = data.configFile;
  const { definition } = await loadConfig(path);
  if (fileOf(definition)?.digest !== digest) {
    throw new ChangeoverError(
      'CONFIG_INVALID',
      `${path} was edited after this process had loaded it: restart the process.`,
      { data: { file: path } },
    );
  }
  const opened = await openMigration(definition);
  const collection = collectionOf(opened.migration, data.collection);
  return createWorkshop({
    collection,
    authority: opened.stores[otherSide[data.follower]],
    follower: opened.stores[data.follower],
    bytesMax: data.bytesMax,
    clock: opened.runtime.clock,
  });
}

const opening = open();
opening.catch(() => {});

async function answer(request: ThreadRequest): Promise<unknown> {
  const workshop = await opening;
  if (request.type === 'prepare') {
    const { ticket, expectedRows, leaveOut } = request;
    const prepared = await workshop.prepare(ticket, expectedRows, leaveOut);
    lastChunk += 1;
    chunks.set(lastChunk, prepared);
    const { read, cutAt, dead, leftOut, count } = prepared;
    const facts: PreparedFacts = { chunk: lastChunk, read, cutAt, dead, leftOut, count };
    return facts;
  }
  const prepared = chunks.get(request.chunk);
  switch (request.type) {
    case 'key-at':
      return prepared?.keyAt(request.index);
    case 'write':
      if (prepared) return prepared.write(request.context);
      throw new ChangeoverError('CHUNK_LOST', 'A chunk was let go before it was written.');
    case 'drop':
      prepared?.drop();
      chunks.delete(request.chunk);
      return null;
  }
}

port?.on('message', (request: ThreadRequest) => {
  const { id } = request;
  const send = (message: ThreadAnswer): void => port.postMessage(message);
  answer(request).then(
    (value) => send({ id, value }),
    (error: unknown) => send({ id, error: sentError(error) }),
  );
});
