/** Resets by the page: repeated until the server confirms, up to a deadline. */
import test from 'node:test';
import assert from 'node:assert/strict';
import type { StreamMachine } from '../src/stream.js';
import { MAX_IN_FLIGHT } from '../src/stream/in_flight.js';
import { RESET_TIMEOUT } from '../src/stream/reliable_channel.js';
import type { Kind } from '../src/stream/types.js';
import { endIn, machine, start, written } from './machine.js';
import { Random } from './random.js';
import { ID, KINDS, Simulation } from './simulation.js';

const OWN_END = { reason: 'bye', applicationLevel: true, by: 'client' } as const;
const RESET = 'bye|1!';
const FAILURE = 'stream_attach_failureK';
const SCHEDULES = Number(process.env['SCHEDULES'] ?? 1_500);

/** An attached stream of one kind. The primary has the key 0. */
function attached(kind: Kind = 'websocket'): StreamMachine {
  const stream = machine(kind);
  start(stream);
  stream.recvFrames(0, kind === 'websocket' ? ['C', 'beat^'] : [';)]}^', 'C', 'beat^'], 10);
  stream.drain(10);
  return stream;
}

/** Opens the next transport and returns the frames behind the hello, which must not create the stream. */
function reopened(stream: StreamMachine, ...times: number[]): string[] {
  const outputs = times.flatMap((now) => start(stream, now));
  assert.equal(endIn(outputs), undefined);
  const [hello = '', ...frames] = written(outputs);
  assert(hello.endsWith('H') && !hello.includes('"new"'), hello);
  return frames;
}

for (const kind of KINDS) {
  test(`${kind}: a reset reaches the server after the messages sent before, and the server confirms`, () => {
    const sim = new Simulation(new Random(6), kind);
    sim.run(2000);
    const stream = sim.stream;
    sim.client.send('last words');
    sim.reset('bye');
    sim.run(sim.now + 10_000);
    assert.equal(stream?.reset, 'bye');
    assert.deepEqual(stream?.delivered, ['last words']);
    assert.deepEqual(sim.ended, OWN_END);
    assert.equal(sim.client.state, 'ended');
    assert.deepEqual(sim.states, ['open', 'ended'], 'no loss is reported between the reset and the end');
    assert.equal(sim.client.pollTimeout(), null, 'no timer is left');
  });

  test(`${kind}: a reset on a silently dead transport is repeated soon`, () => {
    const sim = new Simulation(new Random(7), kind);
    sim.run(2000);
    const stream = sim.stream;
    sim.breakAll(true);
    sim.reset('bye');
    sim.run(sim.now + 20_000);
    assert.equal(stream?.reset, 'bye');
    assert.deepEqual(sim.ended, OWN_END);
  });

  test(`${kind}: a reset while the server is down is repeated until the server is back`, () => {
    const sim = new Simulation(new Random(8), kind);
    sim.run(2000);
    const stream = sim.stream;
    sim.up = false;
    sim.breakAll(false);
    sim.reset('bye');
    sim.run(sim.now + 60_000);
    assert.equal(sim.ended, null);
    sim.up = true;
    sim.run(sim.now + 20_000);
    assert.equal(stream?.reset, 'bye');
    assert.deepEqual(sim.ended, OWN_END);
  });

  test(`${kind}: an unconfirmed reset is given up at the deadline`, () => {
    const sim = new Simulation(new Random(9), kind);
    sim.run(2000);
    sim.up = false;
    sim.breakAll(false);
    const deadline = sim.now + RESET_TIMEOUT;
    sim.reset('bye');
    sim.run(deadline - 1);
    assert.equal(sim.ended, null);
    sim.run(deadline);
    assert.deepEqual(sim.ended, { reason: 'reset not confirmed', applicationLevel: false, by: 'client' });
    assert.equal(sim.client.pollTimeout(), null, 'no timer is left');
  });
}

test('a reset is repeated until confirmed', () => {
  const stream = attached();
  stream.reset('bye', 20);
  assert.deepEqual(written(stream.drain(20)), [RESET]);
  stream.onClosed(0, 'failed', 30);
  assert.equal(endIn(stream.drain(30)), undefined);
  assert.deepEqual(reopened(stream, 1000), [RESET]);
  stream.recvFrames(1, [FAILURE, 'Y'], 1010);
  assert.deepEqual(endIn(stream.drain(1010)), OWN_END);
});

test('a close handshake does not confirm a reset', () => {
  const stream = attached();
  stream.reset('bye', 20);
  assert.deepEqual(written(stream.drain(20)), [RESET]);
  // The edge drains and has not read the reset.
  for (const [key, now] of [[0, 30], [1, 1030], [2, 10_030]] as const) {
    stream.recvFrames(key, ['|-1A', '|-1T', 'Y'], now);
    assert.deepEqual(reopened(stream, now, now + 970), [RESET]);
  }
  stream.recvFrames(3, [RESET, 'Y'], 11_010);
  assert.deepEqual(endIn(stream.drain(11_010)), OWN_END);
});

test('a successor carries the reset again', () => {
  const stream = attached();
  stream.switchTo('http-stream', 20);
  stream.reset('bye', 20);
  const outputs = stream.drain(20);
  const hello = written(outputs, 1)[0] ?? '';
  assert(hello.includes('"eeds":0') && !hello.includes('"new"'), hello);
  assert.deepEqual(written(outputs, 1).slice(1), [RESET]);
  assert.deepEqual(written(outputs, 0), [RESET]);
  stream.recvFrames(0, ['|-1A', '|-1T', 'Y'], 30);
  assert.equal(endIn(stream.drain(30)), undefined);
  stream.recvFrames(1, [';)]}^', RESET], 40);
  assert.deepEqual(endIn(stream.drain(40)), OWN_END);
});

test('an upload with a reset is repeated until the server confirms', () => {
  const stream = attached('http-stream');
  stream.reset('bye', 20);
  assert.deepEqual(reopened(stream, 20), [RESET]);
  stream.recvFrames(1, [';)]}^', '|-1A', '|-1T'], 30);
  stream.onClosed(1, 'ended', 30);
  assert.deepEqual(stream.drain(30), [], 'the back-off applies');
  assert.deepEqual(reopened(stream, 1000), [RESET]);
  stream.recvFrames(0, [RESET], 1010);
  assert.deepEqual(endIn(stream.drain(1010)), OWN_END);
});

test('an upload confirms a reset by an attach failure', () => {
  const stream = attached('http-stream');
  stream.reset('bye', 20);
  assert.deepEqual(reopened(stream, 20), [RESET]);
  stream.recvFrames(1, [';)]}^', FAILURE], 30);
  assert.deepEqual(endIn(stream.drain(30)), OWN_END);
});

test('a reset before the first hello ends the stream immediately', () => {
  const stream = machine();
  stream.drain(0);
  stream.reset('bye', 0);
  const outputs = stream.drain(0);
  assert.deepEqual(endIn(outputs), OWN_END);
  assert(outputs.some((output) => output.do === 'close'));
});

test('a reset before the first answer is repeated without `new`', () => {
  const stream = machine();
  assert(written(start(stream))[0]?.includes('"new":true'));
  stream.reset('bye', 10);
  assert.deepEqual(written(stream.drain(10)), [RESET]);
  stream.onClosed(0, 'failed', 20);
  stream.drain(20);
  assert.deepEqual(reopened(stream, 1000), [RESET]);
  stream.recvFrames(1, [FAILURE, 'Y'], 1010);
  assert.deepEqual(endIn(stream.drain(1010)), OWN_END);
});

test('an unanswered hello with `new` may still create the stream', () => {
  const stream = machine('auto');
  assert(written(start(stream))[0]?.includes('"new":true'));
  stream.reset('bye', 1000);
  assert.deepEqual(written(stream.drain(1000)), [RESET]);
  assert.deepEqual(reopened(stream, 2000), [RESET], 'an HTTP stream in parallel');
  stream.recvFrames(1, [';)]}^', FAILURE], 2010);
  assert.equal(endIn(stream.drain(2010)), undefined, 'the first hello may arrive after the second');
  stream.recvFrames(0, ['C', '|-1A', '|-1T', 'Y'], 2020);
  assert.equal(endIn(stream.drain(2020)), undefined);
  const [opened] = start(stream, 9000);
  assert(opened?.do === 'open');
  stream.recvFrames(opened.key, [FAILURE], 9010);
  assert.deepEqual(endIn(stream.drain(9010)), OWN_END);
});

test('a reset follows every unanswered hello with `new`', () => {
  const stream = machine('auto');
  start(stream);
  assert(written(start(stream, 2000), 1)[0]?.includes('"new":true'), 'an HTTP stream in parallel');
  stream.reset('bye', 2010);
  const outputs = stream.drain(2010);
  assert.deepEqual(written(outputs), [RESET], 'an upload could overtake the hello of the HTTP stream');
  assert.deepEqual(written(outputs, 0), [RESET]);
  assert.deepEqual(written(stream.drain(2020)), [], 'once');
  stream.recvFrames(1, [';)]}^', 'C', 'beat^'], 2030);
  assert.deepEqual(reopened(stream, 2030), [RESET], 'an upload');
});

test('on HTTP a reset waits for the answer to the hello with `new`', () => {
  const stream = machine('http-stream');
  assert(written(start(stream))[0]?.includes('"new":true'));
  stream.reset('bye', 10);
  assert.deepEqual(stream.drain(10), []);
  stream.recvFrames(0, [';)]}^'], 20);
  assert.deepEqual(stream.drain(20).filter((output) => output.do === 'open'), [], 'the preamble is no answer');
  stream.onClosed(0, 'failed', 30);
  stream.drain(30);
  assert.deepEqual(reopened(stream, 1000), [RESET]);
  stream.recvFrames(1, [';)]}^', FAILURE], 1010);
  assert.deepEqual(endIn(stream.drain(1010)), OWN_END);
});

test('an earlier reset of the application is the reason of the end', () => {
  for (const frame of ['enough|1!', 'bye|0!']) {
    const stream = attached();
    stream.reset('bye', 20);
    stream.drain(20);
    stream.recvFrames(0, [frame, 'Y'], 30);
    const [reason = '', level] = frame.split('|');
    assert.deepEqual(endIn(stream.drain(30)), { reason, applicationLevel: level === '1!', by: 'server' });
  }
});

test('an attach failure on a transport without the reset is a failure of the transport', () => {
  const stream = machine();
  start(stream);
  stream.reset('bye', 10);
  stream.drain(10);
  stream.recvFrames(0, [FAILURE, 'Y'], 20);
  assert.equal(endIn(stream.drain(20)), undefined);
  assert.deepEqual(reopened(stream, 1000), [RESET]);
});

test('the first reset counts', () => {
  const stream = attached();
  stream.reset('bye', 20);
  stream.reset('again', 20);
  assert.deepEqual(written(stream.drain(20)), [RESET]);
});

test('no message is written behind the reset', () => {
  const stream = attached();
  stream.send('x'.repeat(MAX_IN_FLIGHT - 1));
  stream.send('y');
  stream.reset('bye', 20);
  assert.deepEqual(written(stream.drain(20)).map((frame) => frame.slice(-3)), ['0N', 'xx ', '|1!']);
  stream.recvFrames(0, ['|0A'], 30);
  assert.deepEqual(written(stream.drain(30)), []);
  stream.onClosed(0, 'failed', 40);
  stream.drain(40);
  assert.deepEqual(reopened(stream, 1000), ['1N', 'y ', RESET], 'the remaining messages precede the repeated reset');
});

test('a WebSocket that is being proven repeats no message behind the reset', () => {
  const stream = machine('auto');
  stream.send('a');
  stream.drain(0);
  stream.drain(500);
  // The HTTP stream works, and its StreamCreated frame is on the way: the hello of the WebSocket may create the stream.
  stream.recvFrames(1, [';)]}^', '|0A'], 600);
  stream.drain(600);
  stream.onOpened(0, 610);
  const probe = written(stream.drain(610), 0);
  assert.equal(probe.length, 1);
  assert.match(probe[0] ?? '', /"new":true.*H$/);
  stream.reset('bye', 620);
  assert.deepEqual(written(stream.drain(620), 0), [RESET]);
  stream.recvFrames(0, ['C', '|0A'], 630);
  assert.deepEqual(written(stream.drain(630), 0), []);
});

test('after a reset no message is delivered or acknowledged', () => {
  const stream = attached();
  stream.recvFrames(0, ['0N', 'a '], 20);
  assert.equal(stream.drain(20).filter((output) => output.do === 'deliver').length, 1);
  stream.reset('bye', 30);
  stream.setPaused(false);
  stream.recvFrames(0, ['b '], 40);
  assert.deepEqual(written(stream.drain(1000)), [RESET]);
  stream.recvFrames(0, [RESET], 1010);
  assert.deepEqual(stream.drain(1010).filter((output) => output.do === 'deliver'), []);
});

test('the upload of an unloaded page carries the reset, which is repeated if the page returns', () => {
  const stream = attached();
  stream.send('last words');
  stream.reset('bye', 20);
  const [hello = '', ...frames] = stream.leave(1000) ?? [];
  assert(!String(hello).includes('"new"'), String(hello));
  assert.deepEqual(frames, ['0N', 'last words ', RESET]);
  assert.deepEqual(stream.drain(30).filter((output) => output.do === 'open'), []);
  stream.wake('pageshow', false, 1000);
  assert.deepEqual(reopened(stream, 1000), ['0N', 'last words ', RESET]);
});

test('a page that resets while it is unloaded sends the reset in another upload', () => {
  const stream = attached();
  assert.equal(stream.leave(1000), null);
  stream.reset('bye', 20);
  assert.deepEqual(stream.leave(1000)?.slice(1), [RESET]);
});

test('an upload with a reset is not announced to the page, which cannot send any more', () => {
  let announced = 0;
  const sim = new Simulation(new Random(1), 'http-stream', 50, { beforeUpload: () => (announced += 1) });
  sim.run(2000);
  assert.equal(announced, 1, 'the HTTP stream');
  sim.reset('bye');
  sim.run(sim.now + 1000);
  assert.deepEqual(sim.ended, OWN_END);
  assert.equal(announced, 1);
});

test('random schedules: a reset ends the stream with one reason on both sides', () => {
  for (let seed = 0; seed < SCHEDULES; seed += 1) resetInChaos(seed);
});

/** Resets by the client and the application under loss, delay and reordering between transports. */
function resetInChaos(seed: number): void {
  const random = new Random(seed);
  const kind = random.chance(0.5) ? 'auto' : (KINDS[random.below(3)] ?? 'websocket');
  const sim = new Simulation(random, kind, 10 + random.below(1000));
  // A hello with `new` that arrives after the client's end would create a stream, which ends unused.
  sim.dropsClosed = true;
  let messages = 0;
  let { stream } = sim;
  for (let step = random.below(40); step > 0; step -= 1) {
    sim.run(sim.now + random.below(300));
    if (random.chance(0.3)) sim.stream?.send(`s${messages++}`);
    if (random.chance(0.3) && sim.ended === null) sim.send(`c${messages++}`);
    if (random.chance(0.1)) sim.client.switchTo(KINDS[random.below(3)] ?? 'websocket', sim.now);
    if (random.chance(0.1)) sim.breakOne(random.chance(0.3));
    if (random.chance(0.05)) sim.client.cut(sim.now);
    if (random.chance(0.05)) sim.buffering = random.chance(0.5);
    if (random.chance(0.05)) sim.up = random.chance(0.5);
    if (!sim.up) sim.breakAll(random.chance(0.3));
    if (random.chance(0.04)) sim.leave();
    if (sim.client.away && random.chance(0.3)) sim.client.wake('pageshow', false, sim.now);
    if (random.chance(0.04)) sim.reset('client');
    if (random.chance(0.02)) sim.server.reset(ID, 'app');
    sim.drain();
    stream ??= sim.stream;
  }
  sim.up = true;
  sim.clear();
  sim.client.wake('pageshow', false, sim.now);
  sim.reset('client');
  sim.run(sim.now + 100_000, () => sim.ended !== null);
  assertOneReason(sim, `seed ${seed}`);
  if (!stream) return;
  assert.deepEqual(stream.delivered, sim.sent.slice(0, stream.delivered.length), `seed ${seed}: client to server`);
  assert.deepEqual(sim.delivered, stream.sent.slice(0, sim.delivered.length), `seed ${seed}: server to client`);
}

function assertOneReason(sim: Simulation, name: string): void {
  const { ended } = sim;
  assert(ended, `${name}: no end`);
  assert(sim.server.created <= 1, `${name}: a second stream`);
  // A client without a reset of its own does not receive the reason after the end, as from the original server.
  if (ended.reason === 'stream_attach_failure' && ended.by === 'server') return;
  const frame = sim.server.resets.get(ID);
  if (sim.server.created > 0) assert.equal(frame, `${ended.reason}|1!`, name);
  else assert.equal(ended.reason, 'client', name);
  assert.equal(ended.by, ended.reason === 'client' ? 'client' : 'server', name);
}
