/** Credentials of `getToken`: before the first hello, and at the request of the server. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { MinervaError, MinervaStream, type MinervaOptions } from '../src/client.js';
import { StreamMachine } from '../src/stream.js';
import { CALL_TIMEOUT, FRESH_TIME } from '../src/stream/credentials.js';
import type { Kind, Output } from '../src/stream/types.js';
import { endIn, written } from './machine.js';
import { RealServer } from './real_server.js';
import { ID, KINDS } from './simulation.js';

const WELCOME = { type: 'welcome', born: '1.0123456789abcdef', max: 1000 } as const;
const WANTED = { type: 'renewal', by: 60 } as const;

function machine(kind: Kind = 'websocket', cred?: string): StreamMachine {
  const getToken = (): string => assert.fail('the driver calls');
  return new StreamMachine({ id: ID, kind, random: () => 0.5, version: 3, getToken, ...(cred !== undefined && { cred }) });
}

/** Drains outputs and opens requested WebSockets. */
function drain(stream: StreamMachine, now: number): Output[] {
  const outputs = stream.drain(now);
  for (const output of outputs) if (output.do === 'open' && output.kind === 'websocket') stream.onOpened(output.key, now, 3);
  return [...outputs, ...stream.drain(now)];
}

const calls = (outputs: readonly Output[]): number => outputs.filter((output) => output.do === 'token').length;

function credOf(outputs: readonly Output[]): unknown {
  const hello = written(outputs).find((frame) => frame.endsWith('H'));
  assert(hello, 'a hello');
  return (JSON.parse(hello.slice(0, -1)) as { cred?: unknown }).cred;
}

/** A stream that the server has accepted on transport 0. */
function accepted(kind: Kind = 'websocket'): StreamMachine {
  const stream = machine(kind, 'first');
  drain(stream, 0);
  stream.recvFrames(0, [WELCOME], 0);
  drain(stream, 0);
  return stream;
}

test('the first hello waits for a token', () => {
  const stream = machine();
  const before = drain(stream, 0);
  assert.deepEqual(before, [{ do: 'token' }]);
  assert.equal(calls(drain(stream, 100)), 0, 'one call');
  stream.credentials?.onToken('one', 200);
  assert.equal(credOf(drain(stream, 200)), 'one');
});

test('a present `cred` serves the first hello', () => {
  const outputs = drain(machine('websocket', 'first'), 0);
  assert.equal(calls(outputs), 0);
  assert.equal(credOf(outputs), 'first');
});

test('without `getToken`, a request of the server has no effect', () => {
  const stream = new StreamMachine({ id: ID, kind: 'websocket', random: () => 0.5, version: 3, cred: 'first' });
  drain(stream, 0);
  stream.recvFrames(0, [WELCOME, WANTED], 0);
  const outputs = drain(stream, 0);
  assert.deepEqual([calls(outputs), stream.state], [0, 'open']);
});

for (const kind of KINDS) {
  test(`${kind}: a request of the server is answered once`, () => {
    const stream = accepted(kind);
    stream.recvFrames(0, [WANTED], 1000);
    assert.equal(calls(drain(stream, 1000)), 1);
    stream.credentials?.onToken('z\u00e9', 1100);
    const outputs = [...drain(stream, 1100), ...drain(stream, 3000)];
    assert.deepEqual(written(outputs).filter((frame) => frame.endsWith('t')), ['{"cred":"z\\u00e9"}t']);
    assert.equal(stream.state, 'open');
  });
}

test('requests during a call lead to no other call, until the call takes too long', () => {
  const stream = accepted();
  const request = (now: number): number => {
    stream.recvFrames(0, [WANTED], now);
    return calls(drain(stream, now));
  };
  assert.deepEqual([0, 100, CALL_TIMEOUT - 1, CALL_TIMEOUT].map(request), [1, 0, 0, 1]);
});

test('a slow or failing call leaves the stream open, and the next request leads to another call', () => {
  const stream = accepted();
  for (const [now, result] of [[0, undefined], [1000, 7], [2000, 'a\ud800'], [3000, 'x'.repeat(8193)]] as const) {
    stream.recvFrames(0, [WANTED], now);
    assert.equal(calls(drain(stream, now)), 1);
    stream.credentials?.onToken(result, now + 500);
    const outputs = drain(stream, now + 500);
    assert.deepEqual([written(outputs), stream.state, stream.problem], [[], 'open', null]);
  }
});

test('a call that fails before the first hello is a problem, and is repeated after the back-off', () => {
  const stream = machine();
  drain(stream, 0);
  stream.credentials?.onToken(undefined, 0);
  const outputs = drain(stream, 0);
  assert.equal(calls(outputs), 0);
  assert.equal(stream.problem?.code, 'token');
  const next = stream.pollTimeout();
  assert(next !== null && next > 0 && next <= 5000, String(next));
  assert.equal(calls(drain(stream, next)), 1);
  stream.credentials?.onToken('one', next);
  assert.equal(credOf(drain(stream, next)), 'one');
});

test('a call without a result before the first hello is repeated', () => {
  const stream = machine();
  drain(stream, 0);
  assert.equal(stream.pollTimeout(), CALL_TIMEOUT);
  assert.equal(calls(drain(stream, CALL_TIMEOUT)), 1);
});

test('an old token does not serve another attempt', () => {
  const stream = machine();
  drain(stream, 0);
  stream.credentials?.onToken('one', 0);
  drain(stream, 0);
  stream.onClosed(0, 'failed', 1);
  const soon = drain(stream, FRESH_TIME - 1);
  assert.deepEqual([calls(soon), credOf(soon)], [0, 'one']);
  stream.onClosed(1, 'failed', FRESH_TIME);
  const outputs = drain(stream, FRESH_TIME + 10_000);
  assert.equal(calls(outputs), 1);
  assert.deepEqual(written(outputs), []);
});

test('an accepted stream reconnects without a token', () => {
  const stream = accepted();
  stream.cut(1000);
  const outputs = drain(stream, 100_000);
  assert.deepEqual([calls(outputs), credOf(outputs)], [0, undefined]);
});

test('a rejected token ends the stream with the reason of the server', () => {
  const stream = accepted();
  const reason = 'token refused: expired';
  stream.recvFrames(0, [{ type: 'reset', reason, applicationLevel: false }], 1000);
  assert.deepEqual(endIn(drain(stream, 1000)), { reason, applicationLevel: false, by: 'server' });
});

test('a `getToken` that is no function is rejected', () => {
  assert.throws(() => new MinervaStream('http://127.0.0.1:9/', { getToken: 'x' } as unknown as MinervaOptions), MinervaError);
});

for (const transport of KINDS) {
  test(`${transport}: on real sockets, every request of the server is answered, and no message is lost`, async () => {
    const server = new RealServer();
    server.model.maxVersion = 3;
    let tokens = 0;
    const getToken = async (): Promise<string> => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (tokens++ % 3 === 1) throw new Error('the page has no token now');
      return `token ${tokens - 1}`;
    };
    const stream = new MinervaStream(await server.listen(), { transport, getToken });
    try {
      await stream.send('0');
      assert.equal(server.model.creds[0], 'token 0');
      let round = 1;
      for (const start = performance.now(); server.model.creds.length < 8; round += 1) {
        if (performance.now() - start > 20_000) assert.fail(server.model.creds.join());
        server.model.wantCredentials();
        server.model.streams.get(stream.id)?.send('progress');
        await stream.send(`${round}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const expected = Array.from({ length: round }, (_, index) => `${index}`);
      assert.deepEqual(server.model.streams.get(stream.id)?.delivered, expected);
      assert.equal(stream.counters.reconnects, 0);
      const creds = server.model.creds.slice(0, 4);
      assert.deepEqual(creds, ['token 0', 'token 2', 'token 3', 'token 5']);
    } finally {
      const ended = new Promise((resolve) => (stream.onend = resolve));
      stream.reset();
      await ended;
      server.close();
    }
  });
}
