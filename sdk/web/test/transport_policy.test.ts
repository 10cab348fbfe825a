/** Transport selection of the stream machine behind faulty proxies, in virtual time. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { StreamMachine } from '../src/stream.js';
import { local } from '../src/stream/refusal.js';
import { FIRST_PROBE_TIME, MIN_PROBE_INTERVAL, MAX_PROBE_INTERVAL } from '../src/stream/transport_ranking.js';
import { Random } from './random.js';
import { assertExactlyOnce, ID, settled, Simulation } from './simulation.js';

/** Exchanges messages in both directions every 100 ms for `ms`, with heartbeats of the server. */
function exchange(sim: Simulation, ms: number): void {
  const end = sim.now + ms;
  for (let heartbeatAt = sim.now + 20_000; sim.now < end; ) {
    sim.send(`c${sim.now}`);
    sim.stream?.send(`s${sim.now}`);
    sim.run(sim.now + 100);
    if (sim.now >= heartbeatAt) {
      sim.server.sendHeartbeats();
      heartbeatAt += 20_000;
    }
  }
}

function assertSettles(sim: Simulation): void {
  sim.run(sim.now + 30_000, () => settled(sim));
  assertExactlyOnce(sim, 'at the end');
}

/** Creates a simulation of kind `auto` behind faulty proxies. */
function withFaults(seed: number, installFaults: (sim: Simulation) => void): Simulation {
  return new Simulation(new Random(seed), 'auto', 50, {}, installFaults);
}

/** Returns the time until one message has arrived in each direction. */
function exchangeFirst(sim: Simulation): number {
  sim.send('first');
  sim.run(20_000, () => (sim.stream?.delivered.length ?? 0) > 0);
  sim.stream?.send('first');
  sim.run(20_000, () => sim.delivered.length > 0 && sim.acked.length > 0);
  return sim.now;
}

function opened(sim: Simulation, kind: string): number[] {
  const lines = sim.trace.filter((line) => line.includes('"do":"open"') && line.includes(`"kind":"${kind}"`));
  return lines.map((line) => Number(line.split(' ')[0]));
}

test('a network without faults: one WebSocket and no other transport', () => {
  for (let seed = 0; seed < 50; seed += 1) {
    const sim = new Simulation(new Random(seed), 'auto');
    assert(exchangeFirst(sim) < 500);
    exchange(sim, 120_000);
    assertSettles(sim);
    assert.deepEqual(sim.kinds, ['websocket']);
    assert.equal(sim.trace.filter((line) => line.includes('"do":"open"')).length, 1);
  }
});

test('WebSocket refused: HTTP stream at once, and probes of WebSocket at growing intervals', () => {
  const sim = withFaults(1, ({ refused }) => refused.add('websocket'));
  assert(exchangeFirst(sim) < 500);
  exchange(sim, 1_000_000);
  assertSettles(sim);
  assert.deepEqual(sim.kinds, ['http-stream']);
  const gaps = opened(sim, 'websocket').map((at, i, all) => at - (all[i - 1] ?? 0)).slice(1);
  assert(gaps.length >= 3 && gaps.length <= 5, gaps.join());
  for (const [i, gap] of gaps.entries()) {
    const interval = Math.min(MAX_PROBE_INTERVAL, MIN_PROBE_INTERVAL * 3 ** i);
    assert(gap >= interval * 0.7 && gap <= interval * 1.3 + 1000, gaps.join());
  }
});

test('WebSocket hung, or open but mute: HTTP stream within 3 s', () => {
  for (const how of ['hung', 'mute'] as const) {
    const sim = withFaults(2, (proxy) => (proxy[how] = true));
    const first = exchangeFirst(sim);
    assert(first < 3_000, `${how}: ${first}`);
    exchange(sim, 60_000);
    assertSettles(sim);
    assert.equal(sim.client.transport, 'http-stream', how);
    assert.equal(sim.client.counters.reconnects, 0, how);
  }
});

test('WebSocket hung and responses buffered: long-poll within 5 s, and no flapping', () => {
  const sim = withFaults(3, (proxy) => (proxy.hung = proxy.buffering = true));
  const first = exchangeFirst(sim);
  assert(first < 5_000, `${first}`);
  exchange(sim, 300_000);
  assertSettles(sim);
  assert.equal(sim.client.transport, 'long-poll');
});

test('an open WebSocket fails silently and cannot reopen: HTTP stream within 10 s', () => {
  const sim = new Simulation(new Random(4), 'auto');
  exchangeFirst(sim);
  exchange(sim, 30_000);
  sim.hung = true;
  sim.breakAll(true);
  const since = sim.now;
  sim.send('lost');
  sim.run(since + 60_000, () => settled(sim));
  assert(sim.now - since < 10_000, `${sim.now - since}`);
  assertSettles(sim);
});

test('a proxy cuts after 10 s: from the third transport on, the client replaces it before the cut', () => {
  for (const kind of ['websocket', 'http-stream'] as const) {
    const sim = withFaults(5, ({ cutAfter, refused }) => {
      cutAfter.set(kind, 10_000);
      if (kind === 'http-stream') refused.add('websocket');
    });
    exchangeFirst(sim);
    exchange(sim, 25_000);
    const { reconnects } = sim.client.counters;
    assert(reconnects > 0 && reconnects <= 2, `${reconnects}`);
    exchange(sim, 100_000);
    assertSettles(sim);
    assert.equal(sim.client.counters.reconnects, reconnects, `${kind}: no reconnect since`);
    assert.equal(sim.client.transport, kind);
  }
});

test('long-polls end before the timeout of a proxy', () => {
  const sim = new Simulation(new Random(6), 'long-poll', 50, {}, ({ cutAfter }) => cutAfter.set('long-poll', 20_000));
  sim.run(200_000);
  const { reconnects } = sim.client.counters;
  assert(reconnects <= 3, `${reconnects}`);
  sim.run(600_000);
  assert.equal(sim.client.counters.reconnects, reconnects);
  assertSettles(sim);
});

test('a slow network is not mistaken for a buffering proxy', () => {
  const sim = new Simulation(new Random(7), 'auto', 4_000);
  exchangeFirst(sim);
  exchange(sim, 200_000);
  sim.run(sim.now + 100_000, () => settled(sim));
  assertExactlyOnce(sim, 'slow');
  assert.equal(sim.client.transport, 'websocket');
});

test('an outage of the server excludes no kind', () => {
  for (let seed = 0; seed < 20; seed += 1) {
    const sim = new Simulation(new Random(seed), 'auto');
    exchangeFirst(sim);
    exchange(sim, 10_000);
    sim.up = false;
    sim.breakAll(false);
    sim.run(sim.now + 10_000 + seed * 100);
    sim.up = true;
    const since = sim.now;
    sim.run(since + 20_000, () => sim.client.transport === 'websocket');
    assert(sim.now - since < 15_000, `seed ${seed}: ${sim.now - since}`);
    assertSettles(sim);
  }
});

test('the remembered kind is used at once, and better kinds are probed later', () => {
  const sim = new Simulation(new Random(8), 'auto', 50, { known: 'http-stream' });
  assert(exchangeFirst(sim) < 500);
  assert.deepEqual(sim.kinds, ['http-stream']);
  exchange(sim, FIRST_PROBE_TIME + 2_000);
  assert.deepEqual(sim.kinds, ['http-stream', 'websocket']);
  assertSettles(sim);
});

test('after a network change all kinds are tried at once', () => {
  const sim = withFaults(9, ({ refused }) => refused.add('websocket'));
  exchangeFirst(sim);
  exchange(sim, 300_000);
  sim.refused.clear();
  sim.client.wake('online', true, sim.now);
  sim.run(sim.now + 1_000);
  assert.deepEqual(sim.kinds, ['http-stream', 'websocket']);
  assert.equal(sim.client.counters.reconnects, 0);
  assertSettles(sim);
});

test('after a long sleep the transport is replaced without a reconnect', () => {
  const sim = new Simulation(new Random(10), 'auto');
  exchangeFirst(sim);
  sim.breakAll(true);
  sim.now += 3_600_000;
  sim.client.wake('clock', false, sim.now);
  sim.run(sim.now + 3_000);
  assert.deepEqual(sim.kinds, ['websocket']);
  assert.equal(opened(sim, 'websocket').length, 2);
  assertSettles(sim);
});

test('page unload uploads queued messages up to the limit, and a restored page resumes', () => {
  for (const kind of ['websocket', 'http-stream', 'long-poll'] as const) {
    const sim = new Simulation(new Random(11), kind);
    exchangeFirst(sim);
    for (let i = 0; i < 100; i += 1) sim.send(`${i} ${'x'.repeat(1000)}`);
    const frames = sim.client.leave(60_000);
    assert(frames);
    assert(frames.join('\n').length + 1 <= 60_000);
    assert(frames.length > 50, `${frames.length}`);
    sim.drain();
    assert.equal(sim.client.state, 'reconnecting');
    sim.server.accept({ kind: 'http', write: () => {}, end: () => {}, after: () => {} }, frames);
    assert(sim.stream && sim.stream.delivered.length > 50, kind);
    sim.run(sim.now + 60_000);
    assert.equal(sim.client.state, 'reconnecting', 'no transport opens while the page is away');
    sim.client.wake('pageshow', false, sim.now);
    assertSettles(sim);
  }
});

test('page unload without queued messages sends no upload', () => {
  const sim = new Simulation(new Random(12), 'websocket');
  exchangeFirst(sim);
  assert.equal(sim.client.leave(60_000), null);
});

test('an unavailable server is retried after its Retry-After, and no kind is blamed', () => {
  const stream = new StreamMachine({ id: ID, kind: 'auto', random: () => 0.5, known: 'http-stream' });
  const [first] = stream.drain(0);
  assert(first?.do === 'open' && first.kind === 'http-stream');
  stream.onClosed(first.key, 'unavailable', 100, { ...local('unavailable', 'overloaded'), after: 3_000 });
  assert.deepEqual(stream.drain(100).map((output) => output.do), ['problem']);
  const at = stream.pollTimeout() ?? 0;
  assert(at >= 3_100 && at <= 3_100 + 750, `${at}`);
  assert.deepEqual(stream.drain(at - 1), []);
  const [second] = stream.drain(at);
  assert(second?.do === 'open' && second.kind === 'http-stream');
});

test('messages sent in beforeUpload share the upload', () => {
  let queued = false;
  const beforeUpload = (): void => {
    if (!queued) return;
    queued = false;
    sim.sent.push('added');
    sim.client.send('added');
  };
  const sim = new Simulation(new Random(13), 'http-stream', 50, { beforeUpload });
  exchangeFirst(sim);
  queued = true;
  sim.send('queued');
  assertSettles(sim);
  const uploads = sim.trace.filter((line) => line.includes('"kind":"upload"') && line.includes('queued'));
  assert.equal(uploads.length, 1);
  assert(uploads[0]?.includes('added'), uploads[0]);
});

test('beforeUpload precedes every HTTP request, and a message sent in the call shares a poll', () => {
  for (const kind of ['http-stream', 'long-poll'] as const) {
    let calls = 0;
    const sim = new Simulation(new Random(15), kind, 50, { beforeUpload: () => (calls += 1) });
    exchangeFirst(sim);
    exchange(sim, 120_000);
    assertSettles(sim);
    const requests = sim.trace.filter((line) => line.includes('"do":"open"')).length;
    assert.equal(calls, requests, kind);
  }
});

test('a message that beforeUpload sends before each poll is uploaded beside it, without a loop', () => {
  let isPoll = false;
  const beforeUpload = (): void => {
    if (!isPoll) return;
    isPoll = false;
    sim.sent.push(`added ${sim.now}`);
    sim.client.send(`added ${sim.now}`);
  };
  const sim = new Simulation(new Random(16), 'long-poll', 50, { beforeUpload });
  exchangeFirst(sim);
  const before = { polls: opened(sim, 'long-poll').length, uploads: opened(sim, 'upload').length };
  for (let i = 0; i < 6; i += 1) {
    isPoll = true;
    sim.run(sim.now + 50_000);
  }
  const [polls, uploads] = [opened(sim, 'long-poll').length - before.polls, opened(sim, 'upload').length - before.uploads];
  assert(polls >= 5 && polls <= 7, `${polls} polls`);
  assert(uploads >= 5 && uploads <= 6, `${uploads} uploads`);
  assertSettles(sim);
});

test('long-polls deliver messages of the server while the client sends', () => {
  const sim = new Simulation(new Random(18), 'long-poll', 100);
  exchangeFirst(sim);
  exchange(sim, 60_000);
  const gaps = sim.deliveredAt.slice(1).map((at, i) => at - (sim.deliveredAt[i] ?? 0));
  assert(Math.max(...gaps) <= 600, `${Math.max(...gaps)}`);
  assertSettles(sim);
});

test('a reset in beforeUpload before the first request opens no transport', () => {
  const stream: StreamMachine = new StreamMachine({
    id: ID,
    kind: 'long-poll',
    random: () => 0.5,
    beforeUpload: () => stream.reset('bye', 0),
  });
  assert.deepEqual(stream.drain(0).map((output) => output.do), ['end', 'state']);
  assert.equal(stream.state, 'ended');
  assert.deepEqual(stream.drain(1), []);
});

test('HTTP stream: 20 messages a second for a minute cost one request for ten messages at most', () => {
  const sim = new Simulation(new Random(17), 'http-stream');
  exchangeFirst(sim);
  const before = opened(sim, 'upload').length;
  for (let i = 0; i < 1_200; i += 1) {
    sim.stream?.send(`s${i}`);
    sim.run(sim.now + 50);
    if (i % 400 === 0) sim.server.sendHeartbeats();
  }
  const requests = opened(sim, 'upload').length - before;
  assert(requests <= 120, `${requests}`);
  assertSettles(sim);
});

test('HTTP kinds use at most two connections', () => {
  for (const kind of ['http-stream', 'long-poll'] as const) {
    const sim = new Simulation(new Random(14), kind);
    exchangeFirst(sim);
    exchange(sim, 60_000);
    assertSettles(sim);
    assert(sim.mostHttp <= 2, `${kind}: ${sim.mostHttp}`);
  }
});
