/** Which transport the stream machine uses while proxies are in the way: in virtual time, with numbers. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { StreamMachine } from '../src/stream.js';
import { MIN_PROBE_INTERVAL, MAX_PROBE_INTERVAL } from '../src/stream/transport_ranking.js';
import { Random } from './random.js';
import { check, ID, settled, Simulation } from './simulation.js';

/** Strings both ways every 100 ms for so long; the server beats as it should. */
function talk(sim: Simulation, ms: number): void {
  const end = sim.now + ms;
  for (let beat = sim.now + 20_000; sim.now < end; ) {
    sim.send(`c${sim.now}`);
    sim.stream?.send(`s${sim.now}`);
    sim.run(sim.now + 100);
    if (sim.now >= beat) {
      sim.server.beat();
      beat += 20_000;
    }
  }
}

function finish(sim: Simulation): void {
  sim.run(sim.now + 30_000, () => settled(sim));
  check(sim, 'at the end');
}

/** A stream that may use any kind, with proxies in the way. */
function behind(seed: number, proxies: (sim: Simulation) => void): Simulation {
  return new Simulation(new Random(seed), 'auto', 50, {}, proxies);
}

/** Time until strings have passed both ways. */
function firstString(sim: Simulation): number {
  sim.send('first');
  sim.run(20_000, () => (sim.stream?.delivered.length ?? 0) > 0);
  sim.stream?.send('first');
  sim.run(20_000, () => settled(sim));
  return sim.now;
}

function opened(sim: Simulation, kind: string): number[] {
  const lines = sim.trace.filter((line) => line.includes('"do":"open"') && line.includes(`"kind":"${kind}"`));
  return lines.map((line) => Number(line.split(' ')[0]));
}

test('a good network: one WebSocket and nothing else', () => {
  for (let seed = 0; seed < 50; seed += 1) {
    const sim = new Simulation(new Random(seed), 'auto');
    assert(firstString(sim) < 500);
    talk(sim, 120_000);
    finish(sim);
    assert.deepEqual(sim.kinds, ['websocket']);
    assert.equal(sim.trace.filter((line) => line.includes('"do":"open"')).length, 1);
  }
});

test('WebSocket refused: HTTP stream at once, and WebSocket is tried again ever less often', () => {
  const sim = behind(1, ({ refused }) => refused.add('websocket'));
  assert(firstString(sim) < 500);
  talk(sim, 1_000_000);
  finish(sim);
  assert.deepEqual(sim.kinds, ['http-stream']);
  const gaps = opened(sim, 'websocket').map((at, i, all) => at - (all[i - 1] ?? 0)).slice(1);
  assert(gaps.length >= 4 && gaps.length <= 9, gaps.join());
  for (const [i, gap] of gaps.entries()) {
    const interval = Math.min(MAX_PROBE_INTERVAL, MIN_PROBE_INTERVAL * 2 ** i);
    assert(gap >= interval * 0.7 && gap <= interval * 1.3 + 1000, gaps.join());
  }
});

test('WebSocket hung, or open but mute: HTTP stream within 3 s', () => {
  for (const how of ['hung', 'mute'] as const) {
    const sim = behind(2, (proxy) => (proxy[how] = true));
    const first = firstString(sim);
    assert(first < 3_000, `${how}: ${first}`);
    talk(sim, 60_000);
    finish(sim);
    assert.equal(sim.client.transport, 'http-stream', how);
    assert.equal(sim.client.counters.reconnects, 0, how);
  }
});

test('WebSocket hung and responses buffered: long-poll within 5 s, without a flap later', () => {
  const sim = behind(3, (proxy) => (proxy.hung = proxy.buffering = true));
  const first = firstString(sim);
  assert(first < 5_000, `${first}`);
  talk(sim, 300_000);
  finish(sim);
  assert.equal(sim.client.transport, 'long-poll');
});

test('a WebSocket that is open and dies without a word, and cannot be had again: HTTP stream', () => {
  const sim = new Simulation(new Random(4), 'auto');
  firstString(sim);
  talk(sim, 30_000);
  sim.hung = true;
  sim.breakAll(true);
  const since = sim.now;
  sim.send('into the void');
  sim.run(since + 60_000, () => settled(sim));
  assert(sim.now - since < 10_000, `${sim.now - since}`);
  finish(sim);
});

test('a proxy that cuts after 10 s: the stream moves before that, from the third time on', () => {
  for (const kind of ['websocket', 'http-stream'] as const) {
    const sim = behind(5, ({ cutAfter, refused }) => {
      cutAfter.set(kind, 10_000);
      if (kind === 'http-stream') refused.add('websocket');
    });
    firstString(sim);
    talk(sim, 25_000);
    const { reconnects } = sim.client.counters;
    assert(reconnects > 0 && reconnects <= 2, `${reconnects}`);
    talk(sim, 100_000);
    finish(sim);
    assert.equal(sim.client.counters.reconnects, reconnects, `${kind}: no gap since`);
    assert.equal(sim.client.transport, kind);
  }
});

test('polls are kept shorter than a proxy allows', () => {
  const sim = new Simulation(new Random(6), 'long-poll', 50, {}, ({ cutAfter }) => cutAfter.set('long-poll', 20_000));
  sim.run(200_000);
  const { reconnects } = sim.client.counters;
  assert(reconnects <= 3, `${reconnects}`);
  sim.run(600_000);
  assert.equal(sim.client.counters.reconnects, reconnects);
  finish(sim);
});

test('a slow network is no buffering proxy', () => {
  const sim = new Simulation(new Random(7), 'auto', 4_000);
  firstString(sim);
  talk(sim, 200_000);
  sim.run(sim.now + 100_000, () => settled(sim));
  check(sim, 'slow');
  assert.equal(sim.client.transport, 'websocket');
});

test('a server that is down for a while takes no kind its good name', () => {
  for (let seed = 0; seed < 20; seed += 1) {
    const sim = new Simulation(new Random(seed), 'auto');
    firstString(sim);
    talk(sim, 10_000);
    sim.up = false;
    sim.breakAll(false);
    sim.run(sim.now + 10_000 + seed * 100);
    sim.up = true;
    const since = sim.now;
    sim.run(since + 20_000, () => sim.client.transport === 'websocket');
    assert(sim.now - since < 15_000, `seed ${seed}: ${sim.now - since}`);
    finish(sim);
  }
});

test('what worked the last time is used at once, and better is tried later', () => {
  const sim = new Simulation(new Random(8), 'auto', 50, { known: 'http-stream' });
  assert(firstString(sim) < 500);
  assert.deepEqual(sim.kinds, ['http-stream']);
  talk(sim, MIN_PROBE_INTERVAL + 2_000);
  assert.deepEqual(sim.kinds, ['http-stream', 'websocket']);
  finish(sim);
});

test('another network: all kinds are tried again at once', () => {
  const sim = behind(9, ({ refused }) => refused.add('websocket'));
  firstString(sim);
  talk(sim, 300_000);
  sim.refused.clear();
  sim.client.wake('online', true, sim.now);
  sim.run(sim.now + 1_000);
  assert.deepEqual(sim.kinds, ['http-stream', 'websocket']);
  assert.equal(sim.client.counters.reconnects, 0);
  finish(sim);
});

test('after a long sleep silence proves nothing, and the transport is succeeded', () => {
  const sim = new Simulation(new Random(10), 'auto');
  firstString(sim);
  sim.now += 3_600_000;
  sim.client.wake('clock', false, sim.now);
  sim.run(sim.now + 3_000);
  assert.deepEqual(sim.kinds, ['websocket']);
  assert.equal(opened(sim, 'websocket').length, 2);
  finish(sim);
});

test('a page that leaves hands over what fits, and goes on if it comes back', () => {
  for (const kind of ['websocket', 'http-stream', 'long-poll'] as const) {
    const sim = new Simulation(new Random(11), kind);
    firstString(sim);
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
    assert.equal(sim.client.state, 'reconnecting', 'nothing is opened while away');
    sim.client.wake('pageshow', false, sim.now);
    finish(sim);
  }
});

test('a page that leaves with nothing to say says nothing', () => {
  const sim = new Simulation(new Random(12), 'websocket');
  firstString(sim);
  assert.equal(sim.client.leave(60_000), null);
});

test('a server without time is asked again after the time that it names, and no kind is blamed', () => {
  const stream = new StreamMachine({ id: ID, kind: 'auto', random: () => 0.5, known: 'http-stream' });
  const [first] = stream.drain(0);
  assert(first?.do === 'open' && first.kind === 'http-stream');
  stream.onClosed(first.key, 'unavailable', 100, 3_000);
  assert.deepEqual(stream.drain(100), []);
  const at = stream.pollTimeout() ?? 0;
  assert(at >= 3_100 && at <= 3_100 + 750, `${at}`);
  assert.deepEqual(stream.drain(at - 1), []);
  const [second] = stream.drain(at);
  assert(second?.do === 'open' && second.kind === 'http-stream');
});

test('what a page adds just before an upload travels with it', () => {
  const sim: Simulation = new Simulation(new Random(13), 'http-stream', 50, {
    beforeUpload: () => {
      if (sim.sent.at(-1) === 'paid') {
        sim.sent.push('free');
        sim.client.send('free');
      }
    },
  });
  firstString(sim);
  sim.send('paid');
  finish(sim);
  const uploads = sim.trace.filter((line) => line.includes('"kind":"upload"') && line.includes('paid'));
  assert.equal(uploads.length, 1);
  assert(uploads[0]?.includes('free'), uploads[0]);
});

test('with HTTP there are at most two connections, but for a moment', () => {
  for (const kind of ['http-stream', 'long-poll'] as const) {
    const sim = new Simulation(new Random(14), kind);
    firstString(sim);
    talk(sim, 60_000);
    finish(sim);
    assert(sim.mostHttp <= 2, `${kind}: ${sim.mostHttp}`);
  }
});
