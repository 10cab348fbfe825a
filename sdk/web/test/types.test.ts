/** Arguments of the public API: refused values are reported and never coerced, and calls never hang. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { MinervaError, MinervaStream, toJson, type MinervaOptions } from '../src/client.js';
import { RealServer } from './real_server.js';

const NOWHERE = 'http://127.0.0.1:9/_minerva/';

async function withStream(body: (stream: MinervaStream, server: RealServer) => Promise<void>): Promise<void> {
  const server = new RealServer();
  const stream = new MinervaStream(await server.listen(), { transport: 'http-stream' });
  try {
    await body(stream, server);
  } finally {
    await stream.close();
    server.close();
  }
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => assert.fail('fulfilled'),
    (error: unknown) => error,
  );
}

function isWrongType(error: unknown, rule: RegExp): void {
  assert(error instanceof TypeError, String(error));
  assert.equal((error as TypeError & { code: string }).code, 'type');
  assert.match(error.message, rule);
}

/** Values that are no messages; some have a length or a string form. */
const NO_MESSAGES: unknown[] = [{ a: 1 }, ['a'], 42, Number.NaN, true, null, undefined, 7n, Symbol('s'), () => 'x'];
NO_MESSAGES.push(new String('x'), new Date(0), new Blob(['x']));

test('values that are no messages are rejected, and the stream continues', () =>
  withStream(async (stream, server) => {
    for (const value of NO_MESSAGES) {
      isWrongType(await rejection(stream.send(value as string)), /a message is a string or bytes/);
    }
    assert.equal(stream.bufferedAmount, 0);
    await stream.ready;
    await stream.send('last');
    assert.deepEqual(server.model.streams.get(stream.id)?.delivered, ['last']);
    assert.equal(stream.counters.sent, 1);
  }));

test('a value that is no message fails the writer of `writable`, not the stream', () =>
  withStream(async (stream) => {
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {});
    isWrongType(await rejection(writer.write(42 as unknown as string)), /a message/);
    await stream.send('goes on');
  }));

test('reasons that are no strings are refused', () =>
  withStream(async (stream) => {
    for (const value of [42, null, {}, ['bye']] as unknown[]) {
      assert.throws(() => stream.reset(value as string), TypeError);
      isWrongType(await rejection(stream.close(value as string)), /a reason/);
    }
    for (const value of ['\n', 'x'.repeat(256)]) {
      assert.throws(() => stream.reset(value), MinervaError);
      assert((await rejection(stream.close(value))) instanceof MinervaError);
    }
    await stream.send('goes on');
  }));

test('values that are no bodies reject questions and notifications, and the stream continues', () =>
  withStream(async (stream) => {
    for (const value of NO_MESSAGES) {
      isWrongType(await rejection(stream.qan.ask(value as string)), /a body is/);
      isWrongType(await rejection(stream.qan.notify(value as string)), /a body is/);
    }
    assert.equal(stream.counters.sent, 0);
    await stream.send('goes on');
  }));

test('toJson refuses values without a JSON form', () => {
  for (const value of [undefined, () => 1, Symbol('s')]) assert.throws(() => toJson(value), TypeError);
});

test('invalid options are rejected in the constructor', () => {
  const make = (options: object) => () => new MinervaStream(NOWHERE, options as MinervaOptions).reset();
  for (const heartbeat of [0, 0.5, 1.5, 601, Number.NaN, '20', null]) assert.throws(make({ heartbeat }), MinervaError);
  for (const transport of ['', 'tcp', 'WebSocket', null]) assert.throws(make({ transport }), MinervaError);
  for (const cred of [42, null, {}, 'a\ud800', '\udc00a']) assert.throws(make({ cred }), MinervaError);
  for (const heartbeat of [1, 600]) make({ heartbeat })();
  // The limit of the server counts bytes of UTF-8.
  for (const [length, isValid] of [[4095, true], [4096, true], [4097, false]] as const) {
    const cred = '\u00e9'.repeat(length);
    if (isValid) make({ cred })();
    else assert.throws(make({ cred }), MinervaError);
  }
  for (const length of [8191, 8192]) make({ cred: 'x'.repeat(length) })();
  assert.throws(make({ cred: 'x'.repeat(8193) }), MinervaError);
  make({ cred: '\u{1f600}\n' })();
});

test('an invalid URL is rejected in the constructor', () => {
  for (const url of ['http://', 'http://a b/', 'file:///_minerva/', 'mailto:x']) {
    assert.throws(() => new MinervaStream(url), MinervaError);
  }
});

test('a relative URL outside of a page opens nothing and leaves no timer', async () => {
  const { fetch } = globalThis;
  let requests = 0;
  globalThis.fetch = () => {
    requests += 1;
    return Promise.reject(new Error('refused'));
  };
  try {
    const stream = new MinervaStream('/_minerva/');
    const sent = stream.send('x');
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual([stream.state, stream.bufferedAmount, requests], ['connecting', 1, 0]);
    stream.reset('gone');
    assert.match(String(await rejection(sent)), /ended: gone/);
    assert.equal(requests, 0);
  } finally {
    globalThis.fetch = fetch;
  }
});

for (const [name, missing] of [
  ['absent', undefined],
  ['refused by the platform', class { constructor() { throw new Error('SecurityError'); } }],
] as const) {
  test(`WebSocket ${name}: HTTP carries the stream`, async () => {
    const { WebSocket } = globalThis;
    Object.assign(globalThis, { WebSocket: missing });
    const server = new RealServer();
    try {
      const stream = new MinervaStream(await server.listen());
      await stream.send('x');
      assert.equal(stream.transport, 'http-stream');
      await stream.close();
    } finally {
      Object.assign(globalThis, { WebSocket });
      server.close();
    }
  });
}
