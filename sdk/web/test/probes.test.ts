/** Probes of better kinds and learned cuts, in virtual time: neither may delay messages or open many connections. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { Lifetimes } from '../src/stream/lifetimes.js';
import { Random } from './random.js';
import { assertExactlyOnce, settled, Simulation } from './simulation.js';

/** Time in ms in which a stream has found the kind that works. */
const START = 20_000;
/** Longest pause in ms between messages of the server that probes may cause, besides the latency. */
const MAX_PAUSE = 300;

/** Runs a stream of kind `auto` behind faulty proxies with messages in both directions every 50 ms for `ms`. */
function exchange(latency: number, ms: number, installFaults: (sim: Simulation) => void, seed = 1): Simulation {
  const sim = new Simulation(new Random(seed), 'auto', latency, {}, installFaults);
  run(sim, ms);
  return sim;
}

function run(sim: Simulation, ms: number, clientToo = true): void {
  for (const end = sim.now + ms; sim.now < end; ) {
    if (clientToo) sim.send(`c${sim.now}`);
    sim.stream?.send(`s${sim.now}`);
    sim.run(sim.now + 50);
  }
}

/** Longest time in ms without a message of the server, after the start. */
function longestPause(sim: Simulation): number {
  const times = sim.deliveredAt.filter((at) => at >= START);
  return Math.max(...times.slice(1).map((at, i) => at - (times[i] ?? 0)));
}

/** Longest time in ms from a message of the client to its acknowledgement, for messages sent after the start. */
function longestAck(sim: Simulation): number {
  const sentAt = (number: number): number => Number(sim.sent[number]?.slice(1));
  return Math.max(...sim.ackedAt.map((at, number) => (sentAt(number) >= START ? at - sentAt(number) : 0)));
}

/** Times at which transports of a kind were opened. */
function opened(sim: Simulation, kind: string): number[] {
  const lines = sim.trace.filter((line) => line.includes('"do":"open"') && line.includes(`"kind":"${kind}"`));
  return lines.map((line) => Number(line.split(' ')[0]));
}

function assertSettles(sim: Simulation, name: string): void {
  sim.run(sim.now + 60_000, () => settled(sim));
  assertExactlyOnce(sim, name);
}

test('probes of a WebSocket that is refused, hung, mute or deaf delay no message', () => {
  const faults: [string, (sim: Simulation) => void][] = [
    ['refused', ({ refused }) => refused.add('websocket')],
    ['hung', (sim) => (sim.hung = true)],
    ['mute', (sim) => (sim.mute = true)],
    ['deaf after 1 write', (sim) => (sim.deaf = 1)],
    ['deaf after 2 writes', (sim) => (sim.deaf = 2)],
    ['deaf after 3 writes', (sim) => (sim.deaf = 3)],
  ];
  for (const latency of [20, 100]) {
    for (const [name, fault] of faults) {
      const sim = exchange(latency, 200_000, fault);
      const probes = opened(sim, 'websocket').filter((at) => at > START);
      assert(probes.length >= 1 && probes.length <= 3, `${name}: ${probes.join()}`);
      assert(longestPause(sim) <= MAX_PAUSE + latency, `${name}: ${longestPause(sim)}`);
      assert(longestAck(sim) <= 3_000, `${name}: ${longestAck(sim)}`);
      assert.equal(sim.client.transport, 'http-stream', name);
      assertSettles(sim, name);
    }
  }
});

test('probes of HTTP streams behind a buffering proxy delay no message', () => {
  for (const latency of [20, 100, 300]) {
    for (const fault of ['hung', 'mute', 'deaf'] as const) {
      const sim = exchange(latency, 200_000, (proxy) => {
        proxy.buffering = true;
        if (fault === 'deaf') proxy.deaf = 1;
        else proxy[fault] = true;
      });
      const probes = opened(sim, 'http-stream').filter((at) => at > START);
      assert(probes.length >= 1 && probes.length <= 3, `${fault}: ${probes.join()}`);
      // Polls alone need two round trips for a message that misses one.
      assert(longestPause(sim) <= MAX_PAUSE + 3 * latency, `${fault}, ${latency} ms: ${longestPause(sim)}`);
      assert.equal(sim.client.transport, 'long-poll');
      assertSettles(sim, fault);
    }
  }
});

test('kinds that work again are adopted by probes without a pause', () => {
  for (const latency of [20, 100, 300]) {
    for (let seed = 0; seed < 10; seed += 1) {
      const sim = exchange(latency, 30_000, (proxy) => (proxy.buffering = proxy.hung = true), seed);
      assert.equal(sim.client.transport, 'long-poll');
      sim.buffering = false;
      // With a random latency of up to 300 ms, the first frames and the end of a late response often arrive together.
      const end = sim.now + (latency > 100 ? 400_000 : 120_000);
      while (sim.now < end && sim.client.transport !== 'http-stream') run(sim, 10_000);
      assert.equal(sim.client.transport, 'http-stream', `${latency} ms, seed ${seed}`);
      sim.clear();
      run(sim, 300_000);
      assert.equal(sim.client.transport, 'websocket', `${latency} ms, seed ${seed}`);
      assert(longestPause(sim) <= MAX_PAUSE + 3 * latency, `${latency} ms, seed ${seed}: ${longestPause(sim)}`);
      assert.equal(sim.client.counters.reconnects, 0);
      assertSettles(sim, `seed ${seed}`);
    }
  }
});

test('without messages of the client, the answer to the hello proves a WebSocket', () => {
  const sim = new Simulation(new Random(3), 'auto', 50, { known: 'http-stream' });
  run(sim, 12_000, false);
  assert.equal(sim.client.transport, 'websocket');
  assert.equal(opened(sim, 'websocket').length, 2);
  assertSettles(sim, 'a sender only');
});

test('a proxy cuts after silence: two cuts lower the heartbeat interval, and none follows', () => {
  for (const kind of ['websocket', 'http-stream'] as const) {
    for (const idleCut of [5_000, 15_000]) {
      const sim = new Simulation(new Random(4), 'auto', 50, {}, (proxy) => {
        proxy.idleCut = idleCut;
        if (kind === 'http-stream') proxy.refused.add('websocket');
      });
      sim.send('first');
      sim.run(600_000);
      assert(opened(sim, kind).length <= 3, `${kind}, ${idleCut} ms: ${opened(sim, kind).join()}`);
      assert.equal(sim.client.state, 'open');
    }
  }
});

test('cuts at a fixed age are learned on a quiet stream too', () => {
  for (const kind of ['websocket', 'http-stream'] as const) {
    const sim = new Simulation(new Random(5), 'auto', 50, {}, (proxy) => {
      proxy.cutAfter.set(kind, 20_000);
      if (kind === 'http-stream') proxy.refused.add('websocket');
    });
    sim.run(120_000);
    const { reconnects } = sim.client.counters;
    assert(reconnects <= 3, `${kind}: ${reconnects}`);
    sim.run(400_000);
    assert.equal(sim.client.counters.reconnects, reconnects, kind);
  }
});

test('lifetimes: silence lowers the heartbeat, age sets a limit and refutes the silence', () => {
  const lifetimes = new Lifetimes();
  lifetimes.onCut('websocket', 5_000, 5_000);
  assert.equal(lifetimes.maxHeartbeat, Infinity, 'one cut');
  lifetimes.onCut('websocket', 30_000, 5_100);
  assert.deepEqual([lifetimes.maxHeartbeat, lifetimes.maxAge('websocket')], [2_000, Infinity]);
  lifetimes.onCut('websocket', 30_100, 400);
  assert.deepEqual([lifetimes.maxHeartbeat, lifetimes.maxAge('websocket')], [Infinity, 22_500]);
  lifetimes.onCut('long-poll', 20_000, 20_000);
  lifetimes.onCut('long-poll', 20_000, 20_000);
  assert.deepEqual([lifetimes.maxHeartbeat, lifetimes.maxAge('long-poll')], [Infinity, 15_000]);
  lifetimes.onCut('http-stream', 2_999, 2_999);
  lifetimes.onCut('http-stream', 2_999, 2_999);
  assert.deepEqual([lifetimes.maxHeartbeat, lifetimes.maxAge('http-stream')], [Infinity, Infinity]);
  for (const silence of [2_499, 2_500]) {
    const other = new Lifetimes();
    other.onCut('http-stream', 10_000, silence);
    other.onCut('http-stream', 20_000, silence);
    assert.equal(other.maxHeartbeat, silence < 2_500 ? Infinity : 1_000);
  }
});
