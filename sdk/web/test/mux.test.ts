/**
 * Multiplexed exchanges: the format, and the schedule of the shared worker between stream machines of many tabs and the
 * model server. SCHEDULES sets the number of random schedules; failures report the seed.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { encodeParts, ResponseParser, type ChannelEvent, type Part } from '../src/mux/format.js';
import { Liveness, PING_INTERVAL } from '../src/mux/liveness.js';
import { GATHER_TIME, MAX_CHANNELS, MIN_HOLD_TIME, MuxSchedule, UPLOAD_STALL_TIME } from '../src/mux/schedule.js';
import type { WorkerMessage } from '../src/mux/ports.js';
import { openChannel } from '../src/mux/tab.js';
import { connectTab } from '../src/mux/worker.js';
import { openMultiplexed } from '../src/transports/multiplexed.js';
import { machine, start, written } from './machine.js';
import { MuxSimulation } from './mux_simulation.js';
import { Random } from './random.js';

const SCHEDULES = Math.ceil(Number(process.env['SCHEDULES'] ?? 1_500) / 10);

/** Replaces global objects. */
const set = (globals: object): void => {
  for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
};

const hello = (id: string, keys: object = {}): string =>
  `${JSON.stringify({ ver: 2, tnum: 0, id, new: true, cred: 'secret', eeds: null, ...keys })}H\n`;

test('a request lists its parts with lengths', () => {
  const parts: Part[] = [{ channel: 7, service: '', body: 'a\nb' }, { channel: 2, service: 'chat', body: '' }];
  assert.equal(encodeParts('stream', parts), 'stream\n7 3\na\nb2 0 chat\n');
});

test('a response has the same events however it is cut', () => {
  const text = '3 5\na\nb c12 0\n3 end 200 0\n12 2\n1\n12 end 429 10\n';
  for (let cut = 1; cut < text.length; cut += 1) {
    const parser = new ResponseParser();
    const events = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))];
    assert(!parser.corrupt);
    const data = (channel: number): string =>
      events.map((event) => ('data' in event && event.channel === channel ? event.data : '')).join('');
    assert.deepEqual([data(3), data(12)], ['a\nb c', '1\n']);
    const ends: ChannelEvent[] = [{ channel: 3, status: 200, wait: 0 }, { channel: 12, status: 429, wait: 10 }];
    assert.deepEqual(events.filter((event) => 'status' in event), ends);
  }
});

test('a response of another server is corrupt', () => {
  for (const text of ['<!doctype html>\n', '1\n', '1 2 3\n', '-1 2\n', '1 end x 0\n', 'x'.repeat(65)]) {
    const parser = new ResponseParser();
    assert.deepEqual(parser.push(text), []);
    assert(parser.corrupt, text);
    assert.deepEqual(parser.push('1 end 200 0\n'), []);
  }
});

test('channels that open together share a request, and a later one joins them', () => {
  const schedule = new MuxSchedule();
  schedule.open(0, 'http-stream', '', hello('a'), 0);
  schedule.open(1, 'http-stream', 'chat', hello('b'), 10);
  assert.deepEqual(schedule.drain(10), []);
  assert.equal(schedule.timeout(10), 10 + GATHER_TIME);
  const [first] = schedule.drain(10 + GATHER_TIME);
  assert(first?.do === 'fetch');
  assert.deepEqual(first.parts.map(({ channel, service }) => [channel, service]), [[0, ''], [1, 'chat']]);
  schedule.onData(first.request, 0, 'C\n|0');
  assert.deepEqual(schedule.drain(50), [{ do: 'frames', channel: 0, frames: ['C'] }]);
  schedule.open(2, 'http-stream', '', hello('c'), 100);
  const due = 10 + GATHER_TIME + MIN_HOLD_TIME;
  assert.deepEqual([schedule.drain(due - 1), schedule.timeout(due - 1)], [[], due]);
  const [abort, second] = schedule.drain(due);
  assert.deepEqual(abort, { do: 'abort', request: first.request });
  assert(second?.do === 'fetch');
  assert.deepEqual(second.parts.map(({ channel }) => channel), [0, 1, 2]);
  // The answered channel continues its stream; the other one may still have to create it.
  assert(!/new|cred/.test(second.parts[0]?.body ?? ''));
  assert(second.parts[1]?.body.includes('"new":true'));
  // The cut line is not joined with the next one.
  schedule.onData(second.request, 0, '5A\n');
  assert.deepEqual(schedule.drain(due), [{ do: 'frames', channel: 0, frames: ['5A'] }]);
  assert.equal(schedule.timeout(due), Infinity);
});

test('frames of a channel that arrive together are reported together', () => {
  const schedule = new MuxSchedule();
  for (const channel of [0, 1]) schedule.open(channel, 'http-stream', '', hello(`${channel}`), 0);
  const [opened] = schedule.drain(GATHER_TIME);
  assert(opened?.do === 'fetch');
  // A buffering proxy passes a response at its end.
  for (const [channel, line] of [[0, 'C\n'], [1, 'C\n'], [0, 'beat^\n'], [0, '|-1T\n']] as const) {
    schedule.onData(opened.request, channel, line);
  }
  assert.deepEqual(schedule.drain(50), [
    { do: 'frames', channel: 0, frames: ['C', 'beat^', '|-1T'] },
    { do: 'frames', channel: 1, frames: ['C'] },
  ]);
  schedule.onData(opened.request, 1, 'beat^\n');
  assert.deepEqual(schedule.drain(60), [{ do: 'frames', channel: 1, frames: ['beat^'] }]);
});

test('one upload at a time, unless it stalls', () => {
  const schedule = new MuxSchedule();
  for (const channel of [0, 1, 2]) {
    schedule.open(channel, 'upload', '', hello('a'), 0);
    assert.equal(schedule.drain(0).length, channel === 0 ? 1 : 0);
  }
  assert.equal(schedule.timeout(0), UPLOAD_STALL_TIME);
  assert.equal(schedule.drain(UPLOAD_STALL_TIME - 1).length, 0);
  const [late] = schedule.drain(UPLOAD_STALL_TIME);
  assert(late?.do === 'fetch');
  assert.deepEqual(late.parts.map(({ channel }) => channel), [1, 2]);
});

test('the channels of one request are limited', () => {
  for (const count of [MAX_CHANNELS - 1, MAX_CHANNELS, MAX_CHANNELS + 1]) {
    const schedule = new MuxSchedule();
    for (let i = 0; i < count; i += 1) schedule.open(i, 'long-poll', '', hello(`${i}`), 0);
    const sizes = schedule.drain(GATHER_TIME).map((output) => (output.do === 'fetch' ? output.parts.length : 0));
    assert.deepEqual(sizes, count > MAX_CHANNELS ? [MAX_CHANNELS, 1] : [count]);
  }
});

test('an empty response to polls is a failure, not a loop', () => {
  const schedule = new MuxSchedule();
  schedule.open(0, 'long-poll', '', hello('a'), 0);
  const [poll] = schedule.drain(GATHER_TIME);
  assert(poll?.do === 'fetch');
  schedule.onRequestEnd(poll.request, 200, 0, 100);
  assert.deepEqual(schedule.drain(1_000), [{ do: 'end', channel: 0, status: 0, wait: 0 }]);
});

test('an upload in a response that ends before its channel has failed, so its SACK is due again', () => {
  const schedule = new MuxSchedule();
  schedule.open(0, 'upload', '', hello('a'), 0);
  const [upload] = schedule.drain(0);
  assert(upload?.do === 'fetch');
  schedule.onData(upload.request, 0, ';)]}^\n');
  schedule.onRequestEnd(upload.request, 200, 0, 100);
  assert.deepEqual(schedule.drain(100).at(-1), { do: 'end', channel: 0, status: 0, wait: 0 });
});

test('a Retry-After is bounded, of a channel as of a request', () => {
  for (const [value, wait] of [[299, 299], [300, 300], [301, 300], [999_999_999, 300]] as const) {
    const schedule = new MuxSchedule();
    for (const channel of [0, 1]) schedule.open(channel, 'long-poll', '', hello(`${channel}`), 0);
    const [poll] = schedule.drain(GATHER_TIME);
    assert(poll?.do === 'fetch');
    schedule.onChannelEnd(poll.request, 0, 503, value);
    schedule.onRequestEnd(poll.request, 503, value, 100);
    const ends = [0, 1].map((channel) => ({ do: 'end', channel, status: 503, wait }));
    assert.deepEqual(schedule.drain(100), ends);
  }
});

test('a worker that does not answer is dead within 5 s, and delayed timers are no evidence', () => {
  const silent = new Liveness(0);
  let now = 0;
  do now += PING_INTERVAL;
  while (silent.tick(now));
  assert(now <= 5_000, `${now} ms`);
  const hidden = new Liveness(0);
  assert(hidden.tick(60_000));
  assert(hidden.tick(120_000));
  hidden.onMessage();
  for (const minute of [3, 4]) assert(hidden.tick(minute * 60_000), `${minute}`);
  assert(!hidden.tick(300_000));
});

test('the transports of a crashed tab end, and those of the other tabs continue', async () => {
  const { fetch, performance } = globalThis;
  const bodies: string[] = [];
  const fake = { now: 0 };
  set({
    performance: { now: () => fake.now },
    fetch: (_: string, { body }: { body: string }) => (bodies.push(body), new Promise(() => {})),
  });
  const tabs = ['crashed', 'other'].map((id, of) => {
    const received: WorkerMessage[] = [];
    const port = { onmessage: (_: object) => {}, postMessage: (message: WorkerMessage) => void received.push(message) };
    connectTab(port as unknown as MessagePort);
    port.onmessage({ data: { open: of, kind: 'http-stream', url: 'http://x/_minerva/io/', body: hello(id) } });
    return { port, received };
  });
  // The timer of the worker, which gathers channels.
  const opened = async (count: number): Promise<void> => {
    while (bodies.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  fake.now = GATHER_TIME;
  await opened(1);
  assert(bodies[0]?.includes('crashed') && bodies[0].includes('other'));
  for (const now of [100_000, 150_000, 150_001]) {
    fake.now = now;
    tabs[1]?.port.onmessage({ data: 'ping' });
    const [end] = tabs[0]?.received.slice(1) ?? [];
    assert.deepEqual(end, now > 150_000 ? { of: 0, status: 0, wait: 0 } : undefined);
  }
  await opened(2);
  assert(!bodies[1]?.includes('crashed') && bodies[1]?.includes('other'));
  set({ fetch, performance });
});

test('a transport with a long body has a connection of its own, whatever its kind', () => {
  const { setInterval } = globalThis;
  let leave = (): void => {};
  set({
    SharedWorker: class { port = { onmessage: null, postMessage: () => {} }; },
    addEventListener: (_: string, listener: () => void) => (leave = listener),
    removeEventListener: () => {},
    setInterval: () => 0,
  });
  for (const kind of ['long-poll', 'http-stream', 'upload'] as const) {
    for (const length of [149_999, 150_000, 150_001, 300_000]) {
      let direct = false;
      const close = openChannel('http://long/_minerva/io/', kind, 'x'.repeat(length), () => {}, () => (direct = true), false);
      assert.equal(direct, length > 150_000, `${kind} of ${length}`);
      close();
    }
  }
  leave();
  set({ setInterval, SharedWorker: undefined });
});

test('services below /_minerva/ share a request that names them, and other paths have requests of their own', async () => {
  const { fetch } = globalThis;
  const requests: [string, string][] = [];
  set({ fetch: (url: string, { body }: { body: string }) => (requests.push([url, body]), new Promise(() => {})) });
  const port = { onmessage: (_: object) => {}, postMessage: () => {} };
  connectTab(port as unknown as MessagePort);
  for (const [open, path] of ['_minerva/', '_minerva/chat/', 'app/', 'app/chat/'].entries()) {
    port.onmessage({ data: { open, kind: 'long-poll', url: `http://services/${path}io/`, body: hello(path) } });
  }
  while (requests.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  const seen = requests.map(([url, body]) => [url, [...body.matchAll(/^\d+ \d+(?: (.+))?$/gm)].map(([, service]) => service)]);
  assert.deepEqual(seen.sort(), [
    ['http://services/_minerva/mux/', [undefined, 'chat']],
    ['http://services/app/chat/mux/', [undefined]],
    ['http://services/app/mux/', [undefined]],
  ]);
  port.onmessage({ data: 'bye' });
  set({ fetch });
});

test('a transport waits 300 ms for the worker, and an HTTP stream is offered the shared connection later', async () => {
  const { fetch, performance } = globalThis;
  const log: unknown[] = [];
  const port = { onmessage: (_: object) => {}, postMessage: (message: object | string) => void log.push(message) };
  let leave = (): void => {};
  const url = 'http://x/_minerva/io/';
  set({
    location: { origin: 'http://x' },
    SharedWorker: class { port = port },
    addEventListener: (_: string, listener: () => void) => (leave = listener),
    removeEventListener: () => {},
    fetch: () => (log.push('fetch'), new Promise(() => {})),
    performance: { now: () => performance.now(), getEntriesByType: () => [] },
  });
  const open = (kind: 'http-stream' | 'upload') =>
    openMultiplexed(url, 2, ['hello'], (frames, outcome) => log.push([kind, frames, outcome]), kind, 'same-origin');
  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  open('http-stream');
  open('upload').close();
  await sleep(200);
  assert.deepEqual(log, []);
  await sleep(200);
  assert.deepEqual(log.splice(0), ['fetch']);
  open('upload');
  await sleep(0);
  port.onmessage({ data: 'pong' });
  const passed = { open: 1, kind: 'upload', url, body: 'hello\n' };
  assert.deepEqual(log.splice(0), [passed, ['http-stream', [], null]]);
  await sleep(400);
  assert.deepEqual(log.splice(0), []);
  leave();
  set({ fetch, performance, location: undefined, SharedWorker: undefined });
});

test('a shared connection replaces a working HTTP stream without a pause', () => {
  const stream = machine('http-stream');
  start(stream);
  stream.onOpened(0, 5);
  assert.deepEqual(stream.drain(5), [], 'the first response is due');
  stream.recvFrames(0, [';)]}^', 'C', 'beat^'], 10);
  const outputs = stream.drain(10);
  assert.deepEqual(outputs.filter((output) => output.do === 'open').map((output) => output.key), [1]);
  assert(!outputs.some((output) => output.do === 'close'));
  const [hello = ''] = written(outputs);
  assert.match(hello, /"eeds":0,"why":"better"/);
  stream.recvFrames(1, [';)]}^', 'beat^'], 20);
  stream.onOpened(0, 20);
  assert.deepEqual(stream.drain(20).filter((output) => output.do === 'open'), [], 'a report about the predecessor');
  stream.onClosed(0, 'ended', 30);
  assert.equal(stream.state, 'open');
  assert.equal(stream.counters.reconnects, 0);
});

test('random schedules: messages of all tabs arrive exactly once and in order over few requests', () => {
  for (let seed = 0; seed < SCHEDULES; seed += 1) {
    const random = new Random(seed);
    const sim = new MuxSimulation(random, 10 + random.below(200));
    for (let step = 0; step < 40; step += 1) {
      sim.run(sim.now + random.below(400));
      if (sim.tabs.length < 8 && random.chance(0.3)) sim.openTab();
      if (sim.tabs.length > 2 && random.chance(0.05)) sim.closeTab();
      for (const tab of sim.tabs) {
        if (random.chance(0.3)) sim.send(tab);
        if (random.chance(0.3)) sim.answer(tab);
      }
      if (random.chance(0.05)) sim.breakRequests();
      if (random.chance(0.02)) sim.buffering = !sim.buffering;
    }
    sim.buffering = false;
    sim.run(sim.now + 120_000, () => sim.isSettled);
    sim.assertExactlyOnce(`seed ${seed}`);
  }
});
