/** Stream machine: single situations, against the model server with one transport kind and frame by frame. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { MAX_IN_FLIGHT, SACK_TIMEOUT, SACK_TIMEOUT_PER_BYTE } from '../src/stream/in_flight.js';
import { MAX_ACK_DELAY, MAX_HTTP_ACK_DELAY } from '../src/stream/delayed_ack.js';
import { ReliableChannel } from '../src/stream/reliable_channel.js';
import { TransportFactory } from '../src/stream/transport_factory.js';
import { StreamMachine } from '../src/stream.js';
import type { Output } from '../src/stream/types.js';
import { machine, start, written } from './machine.js';
import { Random } from './random.js';
import { assertExactlyOnce, ID, KINDS, settled, Simulation } from './simulation.js';

for (const kind of KINDS) {
  test(`${kind}: messages arrive in both directions, and the transport is reported`, () => {
    const sim = new Simulation(new Random(1), kind);
    sim.send('before');
    sim.run(1000);
    assert.deepEqual(sim.kinds, [kind]);
    for (let i = 0; i < 20; i += 1) {
      sim.send(`c${i}`);
      sim.stream?.send(`s${i}`);
      sim.run(sim.now + 30);
    }
    sim.run(sim.now + 2000, () => settled(sim));
    assertExactlyOnce(sim, kind);
    assert.deepEqual(sim.kinds, [kind]);
  });

  test(`${kind}: an idle stream stays open without a busy loop`, () => {
    const sim = new Simulation(new Random(2), kind);
    for (let at = 0; at < 600_000; at += 20_000) {
      sim.run(at);
      sim.server.sendHeartbeats();
    }
    assert.deepEqual(sim.kinds, [kind]);
    assert(sim.trace.length < 100, `${sim.trace.length} outputs in ten idle minutes`);
  });

  test(`${kind}: a silently dead transport is replaced`, () => {
    const sim = new Simulation(new Random(3), kind);
    sim.run(2000);
    sim.breakAll(true);
    sim.stream?.send('lost');
    // Only on a WebSocket does an overdue SACK reveal the failure before the silence; HTTP kinds post messages apart.
    if (kind === 'websocket') sim.send('lost');
    const since = sim.now;
    sim.run(since + 90_000, () => settled(sim));
    assertExactlyOnce(sim, kind);
    const expected = { 'websocket': [4_000, 7_000], 'http-stream': [20_000, 30_000], 'long-poll': [50_000, 70_000] };
    const [least = 0, most = 0] = expected[kind];
    assert(sim.now - since >= least && sim.now - since <= most, `after ${sim.now - since} ms`);
    if (kind === 'long-poll') return;
    assert.deepEqual(sim.kinds, [kind], 'replaced without a gap');
  });

  for (const other of KINDS.filter((each) => each !== kind)) {
    test(`${kind} to ${other}: the stream is never without a transport`, () => {
      for (let seed = 0; seed < 30; seed += 1) {
        const sim = new Simulation(new Random(seed), kind);
        sim.run(1000);
        for (let i = 0; i < 60; i += 1) {
          if (i === 20) sim.client.switchTo(other, sim.now);
          sim.send(`c${i}`);
          sim.stream?.send(`s${i}`);
          sim.run(sim.now + 10);
        }
        sim.run(sim.now + 5000, () => settled(sim));
        assertExactlyOnce(sim, `seed ${seed}`);
        assert.deepEqual(sim.kinds, [kind, other], `seed ${seed}`);
        assert.equal(sim.client.counters.reconnects, 0);
      }
    });
  }
}

test('a stream stays on its working kind until the selected kind works', () => {
  const sim = new Simulation(new Random(4), 'http-stream');
  sim.run(1000);
  sim.up = false;
  sim.client.switchTo('websocket', sim.now);
  sim.run(sim.now + 3000);
  assert.equal(sim.client.transport, 'http-stream');
  sim.up = true;
  sim.send('x');
  sim.run(sim.now + 10_000, () => settled(sim) && sim.client.transport === 'websocket');
  assertExactlyOnce(sim, 'after the switch');
  assert.deepEqual(sim.kinds, ['http-stream', 'websocket']);
});

test('a reset by the application ends the stream', () => {
  for (const kind of KINDS) {
    const sim = new Simulation(new Random(7), kind);
    sim.run(2000);
    sim.server.reset(ID, 'enough');
    sim.run(sim.now + 1000);
    assert.equal(sim.end, 'enough', kind);
    assert.equal(sim.client.pollTimeout(), null);
  }
});

test('a stream unknown to the server ends at once', () => {
  for (const kind of KINDS) {
    const sim = new Simulation(new Random(8), kind);
    sim.run(2000);
    sim.server.streams.clear();
    sim.client.cut(sim.now);
    sim.run(sim.now + 2000);
    assert.equal(sim.end, 'stream_attach_failure', kind);
  }
});

// The machine alone, frame by frame.

test('the hello has the keys of the protocol', () => {
  const stream = new StreamMachine({ id: ID, kind: 'long-poll', random: () => 0.5, cred: 'caf\u00e9' });
  const [hello] = written(start(stream));
  assert(hello !== undefined && hello.endsWith('H'));
  assert(hello.includes('"cred":"caf\\u00e9"'), hello);
  assert.deepEqual(JSON.parse(hello.slice(0, -1)), {
    ver: 2,
    tnum: 0,
    id: ID,
    new: true,
    ming: false,
    maxia: 0,
    beat: 60,
    seenack: '|-1',
    sack: '|-1',
    eeds: null,
    maxt: 50,
    cred: 'caf\u00e9',
    why: 'start',
  });
});

test('numbered messages follow the hello, and a SACK precedes later messages', () => {
  const stream = machine();
  stream.send('a');
  stream.send('b');
  assert.deepEqual(written(start(stream)).slice(1), ['0N', 'a ', 'b ']);
  stream.recvFrames(0, ['C', 'beat^', '|0A', '0N', 'x ', 'y '], 10);
  const outputs = stream.drain(10);
  assert.deepEqual(outputs.filter((o) => o.do === 'deliver').map((o) => o.message), ['x', 'y']);
  assert.deepEqual(outputs.filter((o) => o.do === 'acked').map((o) => o.number), [0]);
  assert.deepEqual(written(outputs), []);
  stream.send('c');
  assert.deepEqual(written(stream.drain(20)), ['|1A', 'c ']);
  stream.send('d');
  assert.deepEqual(written(stream.drain(30)), ['d ']);
});

test('unacknowledged bytes in flight are limited', () => {
  for (const [size, sent] of [[MAX_IN_FLIGHT - 12, 2], [MAX_IN_FLIGHT - 11, 2], [MAX_IN_FLIGHT - 10, 1]] as const) {
    const stream = machine();
    stream.send('x'.repeat(size));
    stream.send('y'.repeat(9));
    stream.send('z'.repeat(9));
    const sentMessages = written(start(stream)).filter((frame) => frame.endsWith(' '));
    assert.equal(sentMessages.length, sent, `${size}`);
    stream.recvFrames(0, ['C', '|0A'], 10);
    assert.equal(written(stream.drain(10)).filter((frame) => frame.endsWith(' ')).length, 3 - sent);
  }
});

test('only the newest carrier expects a SACK', () => {
  const channel = new ReliableChannel();
  const factory = new TransportFactory(channel, { id: ID, kind: 'auto', random: () => 0.5 }, 20);
  const [first, second] = [factory.transport('websocket', '', 0), factory.transport('upload', '', 0)];
  channel.send('x');
  channel.takeFrames(first, 10);
  assert.deepEqual([first.sackDueAt, second.sackDueAt], [10 + SACK_TIMEOUT + 2 * SACK_TIMEOUT_PER_BYTE, Infinity]);
  channel.takeFrames(second, 20);
  assert.deepEqual([first.sackDueAt, second.sackDueAt], [Infinity, 20 + SACK_TIMEOUT + 2 * SACK_TIMEOUT_PER_BYTE]);
  channel.recvSack({ acked: 0, beyond: [] }, [], 30);
  assert.equal(second.sackDueAt, Infinity);
});

test('a message longer than the limit in flight is sent alone', () => {
  const stream = machine();
  stream.send('x'.repeat(MAX_IN_FLIGHT * 2));
  stream.send('y');
  assert.equal(written(start(stream)).filter((frame) => frame.endsWith(' ')).length, 1);
});

test('a SACK of unsent messages drops the transport, a second in a row ends the stream', () => {
  const stream = machine();
  start(stream);
  stream.recvFrames(0, ['C', '|5A'], 10);
  assert(stream.drain(10).some((output) => output.do === 'close'));
  assert.equal(stream.state === 'ended', false);
  start(stream, 1000);
  stream.recvFrames(1, ['|5A'], 1010);
  assert(stream.drain(1010).some((output) => output.do === 'end'));
});

test('an invalid frame drops the transport, and earlier frames count', () => {
  for (const bad of ['Z', '', 'x\u0001 ', '01N', 'nonsenseK', '{}H']) {
    const stream = machine();
    start(stream);
    stream.recvFrames(0, ['C', 'first ', bad, 'never '], 10);
    const outputs = stream.drain(10);
    assert.deepEqual(outputs.filter((o) => o.do === 'deliver').map((o) => o.message), ['first'], bad);
    assert(outputs.some((output) => output.do === 'close'), bad);
  }
});

test('random bytes and random frames never throw', () => {
  const pieces = [...'ATNCY^ !01|,KHx', '\u0000', '-1', 'rwin_overflow'];
  for (let seed = 0; seed < 2000; seed += 1) {
    const random = new Random(seed);
    const stream = machine(KINDS[random.below(3)]);
    for (let step = 0; step < 30; step += 1) {
      const now = step * 400;
      stream.drain(now);
      if (random.chance(0.3)) stream.send('x');
      const frames = Array.from({ length: random.below(4) }, () =>
        Array.from({ length: random.below(5) }, () => pieces[random.below(pieces.length)]).join(''),
      );
      stream.recvFrames(random.below(step + 1), frames, now);
      if (random.chance(0.2)) stream.onClosed(random.below(step + 1), random.chance(0.5) ? 'ended' : 'failed', now);
    }
  }
});

test('a paused application delays deliveries and SACKs', () => {
  const stream = machine();
  start(stream);
  stream.recvFrames(0, ['C', '0N', 'a '], 10);
  stream.drain(10);
  assert.deepEqual(written(stream.drain(10 + MAX_ACK_DELAY)), ['|0A']);
  stream.setPaused(true);
  stream.recvFrames(0, ['b '], 120);
  assert.deepEqual(stream.drain(120), []);
  assert.deepEqual(stream.drain(120 + MAX_ACK_DELAY), [], 'not after the delay either');
  stream.cut(230);
  const hello = written(start(stream, 1000))[0] ?? '';
  assert(hello.includes('"sack":"|0"'), hello);
  stream.recvFrames(1, ['1N', 'b '], 1010);
  assert.deepEqual(written(stream.drain(1010)), []);
  stream.setPaused(false);
  const outputs = stream.drain(1020);
  assert.deepEqual(outputs.filter((o) => o.do === 'deliver').map((o) => o.message), ['b']);
  assert.deepEqual(written(outputs), ['|1A']);
});

test('after the end of the predecessor a SACK reports its missing messages', () => {
  for (const outcome of ['ended', 'failed'] as const) {
    const stream = machine();
    start(stream);
    stream.recvFrames(0, ['C', 'beat^', '0N', 'a '], 10);
    stream.drain(10);
    stream.switchTo('http-stream', 20);
    const hello = written(stream.drain(20))[0] ?? '';
    assert(hello.includes('"eeds":0') && hello.includes('"sack":"|0"'), hello);
    stream.recvFrames(1, [';)]}^', 'beat^'], 30);
    assert.deepEqual(stream.drain(30).map((output) => output.do), ['transport']);
    stream.onClosed(0, outcome, 40);
    const upload = written(stream.drain(40))[0] ?? '';
    assert(upload.includes('"sack":"|0"') && !upload.includes('eeds'), upload);
  }
});

test('a SACK of a failed upload is uploaded again', () => {
  const stream = machine('http-stream');
  start(stream);
  stream.recvFrames(0, [';)]}^', 'C', 'beat^', '0N', 'a '], 10);
  assert.equal(written(stream.drain(10 + MAX_HTTP_ACK_DELAY)).length, 1);
  stream.onClosed(1, 'failed', 1020);
  assert.deepEqual(stream.drain(1020), []);
  assert(written(start(stream, 2000))[0]?.includes('"sack":"|0"'));
  stream.onClosed(2, 'ended', 2100);
  assert.deepEqual(stream.drain(2100), []);
  assert.deepEqual(stream.drain(9000), []);
});

test('a duplicate is acknowledged at once', () => {
  const stream = machine();
  start(stream);
  stream.recvFrames(0, ['C', '0N', 'a '], 10);
  stream.drain(10);
  assert.deepEqual(written(stream.drain(10 + MAX_ACK_DELAY)), ['|0A']);
  stream.recvFrames(0, ['0N', 'a '], 120);
  assert.deepEqual(written(stream.drain(120)), ['|0A']);
});

test('empty polls that return at once are repeated with back-off', () => {
  const stream = machine('long-poll');
  let polls = 0;
  for (let now = 0; now < 10_000; now += 10) {
    for (const output of stream.drain(now)) {
      if (output.do !== 'open') continue;
      polls += 1;
      stream.recvFrames(output.key, [';)]}^', 'C', '|-1A', '|-1T'].slice(0, polls === 1 ? 4 : 1), now);
      stream.onClosed(output.key, 'ended', now);
    }
  }
  assert(polls >= 5 && polls < 20, `${polls} polls in ten seconds`);
  assert.equal(stream.state, 'open');
});

test('a server that closes every transport at once is retried with back-off', () => {
  for (const [kind, frames] of [
    ['websocket', ['Y']],
    ['websocket', ['C', 'rwin_overflowK', 'Y']],
    ['http-stream', ['frame_corruptionK']],
    ['long-poll', ['frame_corruptionK']],
  ] as const) {
    const stream = machine(kind);
    let opened = 0;
    for (let now = 0; now < 20_000; now += 10) {
      for (const output of start(stream, now)) {
        if (output.do !== 'open') continue;
        opened += 1;
        stream.recvFrames(output.key, frames, now);
      }
    }
    assert(opened >= 5 && opened < 20, `${opened} attempts in twenty seconds after ${frames.join()}`);
  }
});

test('an HTTP stream whose hello arrives behind the one of the WebSocket takes over without a gap', () => {
  const stream = machine('auto');
  const opened = (outputs: readonly Output[]): string[] =>
    outputs.flatMap((output) => (output.do === 'open' ? [output.kind] : []));
  assert.deepEqual(opened(stream.drain(0)), ['websocket']);
  assert.deepEqual(opened(stream.drain(500)), ['http-stream']);
  stream.onOpened(0, 600);
  stream.drain(600);
  stream.recvFrames(0, ['C', 'beat^'], 700);
  stream.drain(700);
  assert.deepEqual([stream.state, stream.transport], ['open', 'websocket']);
  stream.recvFrames(0, ['|-1A', '|-1T', 'Y'], 800);
  const outputs = stream.drain(800);
  // Another WebSocket is opened meanwhile, in case the HTTP stream is buffered.
  assert.deepEqual([stream.state, opened(outputs).includes('websocket')], ['open', true]);
  stream.recvFrames(1, ['C', 'beat^'], 900);
  outputs.push(...stream.drain(900));
  assert.deepEqual([stream.state, stream.transport, stream.counters.reconnects], ['open', 'http-stream', 0]);
  assert(!outputs.some((output) => output.do === 'transport' && output.kind === null));
});

test('a failed successor leaves the predecessor in place, and is retried later', () => {
  const stream = machine('http-stream');
  start(stream);
  stream.recvFrames(0, [';)]}^', 'C', 'beat^'], 10);
  stream.drain(10);
  stream.switchTo('websocket', 20);
  assert.deepEqual(stream.drain(20).map((output) => output.do), ['open']);
  stream.onClosed(1, 'failed', 30);
  assert.deepEqual(stream.drain(30), []);
  assert.equal(stream.transport, 'http-stream');
  const again = start(stream, stream.pollTimeout() ?? 0);
  assert(written(again)[0]?.includes('"eeds":0'), JSON.stringify(again));
});

test('messages received together with a reset are delivered before the end', () => {
  const stream = machine();
  start(stream);
  stream.recvFrames(0, ['C', '0N', 'a ', 'b ', 'bye|1!', 'Y'], 10);
  const outputs = stream.drain(10).filter((output) => output.do === 'deliver' || output.do === 'end');
  assert.deepEqual(outputs.map((output) => output.do), ['deliver', 'deliver', 'end']);
});
