/** Version of the protocol: selection, fallback to version 2, and refusals that concern the stream. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { StreamMachine } from '../src/stream.js';
import { NO_VERSION_3 } from '../src/stream/refusal.js';
import type { Kind, Output, Version } from '../src/stream/types.js';
import { endIn, written } from './machine.js';
import { Random } from './random.js';
import { assertExactlyOnce, ID, KINDS, received, settled, Simulation } from './simulation.js';

const KEY = 'Zk1uQ0pXc3VqV2h5dEJtRQ';
const BORN = '7.00000007b0d88862';

function machine(kind: Kind | 'auto' = 'websocket', version: Version | 'auto' = 'auto'): StreamMachine {
  return new StreamMachine({ id: ID, kind, random: () => 0.5, version, resumeKey: KEY });
}

function hello(outputs: readonly Output[]): Record<string, unknown> {
  const frame = written(outputs).find((text) => text.endsWith('H'));
  assert(frame, 'no hello');
  return JSON.parse(frame.slice(0, -1)) as Record<string, unknown>;
}

/** Opens a WebSocket stream of version 3. */
function opened(kind: Kind | 'auto' = 'websocket'): StreamMachine {
  const stream = machine(kind);
  const [open] = stream.drain(0);
  assert(open?.do === 'open');
  if (open.kind === 'websocket') stream.onOpened(open.key, 0, 3);
  stream.drain(0);
  stream.recvFrames(open.key, received([`{"born":"${BORN}","max":1000}W`]), 1);
  stream.drain(1);
  return stream;
}

function refuse(stream: StreamMachine, code: string, action: string, key = 0): Output[] {
  stream.recvFrames(key, received([`{"status":409,"code":"${code}","title":"x","do":"${action}"}R`]), 2);
  return stream.drain(2);
}

test('a WebSocket offers both versions, and the hello has the selected one', () => {
  for (const version of [3, 2] as const) {
    const stream = machine();
    const [open] = stream.drain(0);
    assert(open?.do === 'open');
    assert.deepEqual(open.versions, [3, 2]);
    stream.onOpened(open.key, 5, version);
    const sent = hello(stream.drain(5));
    assert.equal(sent['ver'], version);
    assert.equal(sent['key'], version === 3 ? KEY : undefined);
    assert.equal(sent['new'], true);
    assert.equal(stream.version, version === 3 ? 0 : 2);
  }
});

test('version 2 is not left, and version 3 not before the server accepts', () => {
  assert.deepEqual(machine('websocket', 2).drain(0).map((o) => o.do === 'open' && o.versions), [[2]]);
  const stream = opened();
  assert.equal(stream.version, 3);
  assert.equal(stream.maxMessage, 1000);
  stream.cut(10);
  const [, open] = stream.drain(10_000).filter((output) => output.do === 'open' || output.do === 'close');
  assert(open?.do === 'open');
  assert.deepEqual(open.versions, [3, 2], 'version 2 shows the reason of a failure');
});

test('a later hello names the creation and the received tags, and asks for no new stream', () => {
  const stream = opened();
  stream.recvFrames(0, received(['0N', 'x ', new Uint8Array([1])]), 3);
  stream.recvFrames(0, received(['2 ffffffffffffffffL', 'y ']), 3);
  stream.cut(10);
  const outputs = stream.drain(10_000);
  const open = outputs.find((output) => output.do === 'open');
  assert(open?.do === 'open');
  stream.onOpened(open.key, 10_001, 3);
  const sent = hello(stream.drain(10_001));
  assert.equal(sent['born'], BORN);
  assert.equal(sent['new'], undefined);
  assert.equal(sent['sack'], '|2');
  assert.equal(sent['line'], '2 ffffffffffffffff');
});

test('a SACK of messages with another tag is preceded by the tags', () => {
  const stream = opened();
  stream.recvFrames(0, received(['0N', 'x ', '1 ffffffffffffffffL', 'y ']), 3);
  assert.deepEqual(written(stream.drain(1000)), ['1 ffffffffffffffffL', '|1A']);
  stream.recvFrames(0, received(['z ']), 2000);
  assert.deepEqual(written(stream.drain(3000)), ['|2A'], 'the tags are sent once');
});

test('a message whose number had another tag resets the stream as lost', () => {
  const stream = opened();
  stream.recvFrames(0, received(['0N', 'x ']), 3);
  stream.drain(3);
  stream.recvFrames(0, received(['0N', '0 ffffffffffffffffL', 'other ']), 4);
  const outputs = stream.drain(4);
  assert(written(outputs).includes('state lost|0!'), written(outputs).join());
  assert(!outputs.some((output) => output.do === 'deliver'));
  stream.recvFrames(0, received(['state lost|0!']), 5);
  assert.deepEqual(endIn(stream.drain(5)), { reason: 'state lost', applicationLevel: false, by: 'client' });
});

test('a repeated message with the same tag is a duplicate', () => {
  const stream = opened();
  for (let round = 0; round < 2; round += 1) stream.recvFrames(0, received(['0N', 'x ']), 3);
  assert.equal(stream.drain(3).filter((output) => output.do === 'deliver').length, 1);
});

for (const kind of KINDS) {
  test(`${kind}: a server without version 3 leads to version 2 at once, and no message is lost`, () => {
    const sim = new Simulation(new Random(1), kind, 50, { version: 'auto', resumeKey: KEY });
    sim.send('before');
    sim.run(2000, () => settled(sim));
    assertExactlyOnce(sim, kind);
    assert.equal(sim.client.version, 2);
    assert(sim.now < 600, `${sim.now} ms`);
    assert.deepEqual(sim.client.problem, null);
  });
}

test('a queued message of version 3 prevents the fallback, and the problem is reported', () => {
  for (const message of ['é', new Uint8Array([1])]) {
    for (const kind of KINDS) {
      const stream = machine(kind);
      stream.send(message);
      const [open] = stream.drain(0);
      assert(open?.do === 'open');
      if (kind === 'websocket') stream.onOpened(open.key, 5, 2);
      else stream.onClosed(open.key, 'failed', 5, NO_VERSION_3);
      const outputs = stream.drain(5);
      assert.equal(stream.problem?.code, 'version');
      assert.equal(stream.state, 'connecting');
      assert(!outputs.some((output) => output.do === 'open'), 'a pause');
      assert.equal(stream.version, 0);
    }
  }
});

test('after the welcome a server without version 3 is a failed transport', () => {
  const stream = opened();
  stream.send('é');
  stream.cut(10);
  const open = stream.drain(10_000).find((output) => output.do === 'open');
  assert(open?.do === 'open');
  stream.onOpened(open.key, 10_001, 2);
  const outputs = stream.drain(10_001);
  assert.deepEqual(outputs.filter((output) => output.do === 'close').map((output) => output.key), [open.key]);
  assert.equal(stream.version, 3);
  assert.equal(stream.state, 'reconnecting');
});

test('a refusal `version` of the core leads to version 2', () => {
  const stream = machine();
  stream.send('queued');
  stream.drain(0);
  stream.onOpened(0, 0, 3);
  stream.drain(0);
  const outputs = refuse(stream, 'version', 'fallback');
  const open = outputs.find((output) => output.do === 'open');
  assert(open?.do === 'open');
  assert.deepEqual(open.versions, [2]);
});

test('refusals with `end` end the stream with their code', () => {
  for (const code of ['gone', 'superseded', 'too_large', 'hello', 'later_code']) {
    assert.deepEqual(endIn(refuse(opened(), code, 'end')), { reason: code, applicationLevel: false, by: 'server' });
  }
});

test('refusals of damaged input end the stream the second time in a row', () => {
  for (const code of ['frame', 'window', 'acked_unsent']) {
    const stream = opened();
    assert.equal(endIn(refuse(stream, code, 'retry')), undefined, code);
    const open = stream.drain(20_000).find((output) => output.do === 'open');
    assert(open?.do === 'open');
    stream.onOpened(open.key, 20_001, 3);
    stream.drain(20_001);
    assert.equal(endIn(refuse(stream, code, 'retry', open.key))?.reason, code);
  }
});

test('`gone` confirms a reset', () => {
  const stream = opened();
  stream.reset('bye', 2);
  stream.cut(2);
  const open = stream.drain(10_000).find((output) => output.do === 'open');
  assert(open?.do === 'open');
  stream.onOpened(open.key, 10_001, 3);
  assert(written(stream.drain(10_001)).includes('bye|1!'));
  const end = endIn(refuse(stream, 'gone', 'end', open.key));
  assert.deepEqual(end, { reason: 'bye', applicationLevel: true, by: 'client' });
});

test('an unloaded page without an answer sends its messages in version 2', () => {
  const stream = machine();
  stream.send('last');
  stream.drain(0);
  const frames = stream.leave(1000) ?? [];
  assert.match(String(frames[0]), /"ver":2/);
  assert.deepEqual(frames.slice(1), ['0N', 'last ']);
});
