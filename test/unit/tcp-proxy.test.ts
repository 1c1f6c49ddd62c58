import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** Answers every line with itself in capitals and ends its side when the client ends. */
let server: Server;
let proxy: TcpProxy;
const served: Socket[] = [];
const clients: Client[] = [];

interface Client {
  readonly socket: Socket;
  /** All that arrived so far. */
  text(): string;
  /** How the connection ended: `open`, `end` (in order), or an error code. */
  fate(): string;
}

function client(): Promise<Client> {
  const made = connecting();
  return once(made.socket, 'connect').then(() => made);
}

function connecting(): Client {
  const socket = connect({ host: proxy.host, port: proxy.port, allowHalfOpen: true });
  let text = '';
  let fate = 'open';
  socket.on('data', (bytes) => {
    text += bytes.toString('utf8');
  });
  socket.on('end', () => {
    fate = 'end';
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    fate = error.code ?? 'error';
  });
  const made = { socket, text: () => text, fate: () => fate };
  clients.push(made);
  return made;
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('waited 5 s in vain');
    await sleep(5);
  }
}

beforeEach(async () => {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    served.push(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => socket.write(bytes.toString('utf8').toUpperCase()));
    socket.on('end', () => socket.end('bye'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await startTcpProxy({ port: (server.address() as AddressInfo).port });
});

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  await proxy.close();
  for (const socket of served.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

describe('the proxy', () => {
  test('hands on both directions and their ends, and counts', async () => {
    const one = await client();
    one.socket.write('hello');
    await until(() => one.text() === 'HELLO');
    expect([proxy.bytes('up'), proxy.bytes('down')]).toEqual([5, 5]);
    expect([proxy.connections, proxy.accepted]).toEqual([1, 1]);
    one.socket.end();
    await until(() => one.fate() === 'end');
    expect(one.text()).toBe('HELLObye');
    await until(() => proxy.connections === 0);
  });

  test('names itself in a connection string', () => {
    expect(proxy.url('mysql://a:b%2F@10.0.0.1:3306/d?x=1')).toBe(
      `mysql://a:b%2F@127.0.0.1:${proxy.port}/d?x=1`,
    );
  });

  test('cuts open connections with a reset at both ends and accepts new ones', async () => {
    const one = await client();
    one.socket.write('x');
    await until(() => one.text() === 'X');
    proxy.cut();
    await until(() => one.fate() === 'ECONNRESET');
    await until(() => served[0]?.destroyed === true);
    const two = await client();
    two.socket.write('y');
    await until(() => two.text() === 'Y');
  });

  test('frozen it holds everything back, old connections and new, until it is resumed', async () => {
    const one = await client();
    one.socket.write('a');
    await until(() => one.text() === 'A');
    proxy.freeze();
    one.socket.write('b');
    const two = await client();
    two.socket.write('c');
    await sleep(150);
    expect([one.text(), two.text(), one.fate(), two.fate()]).toEqual(['A', '', 'open', 'open']);
    proxy.resume();
    await until(() => one.text() === 'AB' && two.text() === 'C');
  });

  test('freezes one direction alone: the server hears, its answer does not arrive', async () => {
    const one = await client();
    proxy.freeze('down');
    one.socket.write('paid');
    await until(() => proxy.bytes('up') === 4);
    await sleep(100);
    expect(one.text()).toBe('');
    proxy.resume();
    await until(() => one.text() === 'PAID');
  });

  test('delays each message by the same time without changing their order', async () => {
    const one = await client();
    proxy.delay(200, 'up');
    const begin = Date.now();
    for (const letter of 'abcdefgh') {
      one.socket.write(letter);
      await sleep(10);
    }
    await until(() => one.text() === 'ABCDEFGH');
    const tookMs = Date.now() - begin;
    expect(tookMs).toBeGreaterThanOrEqual(200);
    // One after another they would have taken 1 600 ms.
    expect(tookMs).toBeLessThan(1_200);
  });

  test('closes one direction and leaves the other open', async () => {
    const one = await client();
    proxy.halfClose('down');
    await until(() => one.fate() === 'end');
    one.socket.write('still');
    await until(() => proxy.bytes('up') === 5);
    expect(served[0]?.destroyed).toBe(false);
  });

  test('cuts after so many bytes, in the middle of a message', async () => {
    const one = await client();
    proxy.cutAfter(3, 'down');
    one.socket.write('message');
    // A reset right behind data is an end on some kernels.
    await until(() => one.fate() !== 'open');
    expect(one.text()).toBe('MES');
    expect(proxy.bytes('up')).toBe(7);
    const two = await client();
    two.socket.write('message');
    await until(() => two.text() === 'MESSAGE');
  });

  test('refuses new connections and keeps old ones', async () => {
    const one = await client();
    one.socket.write('a');
    await until(() => one.text() === 'A');
    proxy.refuse(true);
    const two = connecting();
    await until(() => two.fate() === 'ECONNRESET');
    one.socket.write('b');
    await until(() => one.text() === 'AB');
    proxy.refuse(false);
    const three = await client();
    three.socket.write('c');
    await until(() => three.text() === 'C');
  });

  test('resets the client when nothing listens behind it', async () => {
    const dead = await startTcpProxy({ port: 1 });
    const socket = connect({ host: dead.host, port: dead.port });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    await dead.close();
  });

  test('carries a large stream through a slow reader whole', async () => {
    const one = await client();
    const size = 8 * 1024 * 1024;
    let sum = 0;
    one.socket.removeAllListeners('data');
    one.socket.on('data', (bytes) => {
      sum += bytes.length;
      one.socket.pause();
      setTimeout(() => one.socket.resume(), 1);
    });
    one.socket.end(Buffer.alloc(size, 'x'));
    await until(() => one.fate() === 'end');
    expect(sum).toBe(size + 'bye'.length);
  });
});
