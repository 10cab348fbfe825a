/**
 * Shared streams: a leaving tab uploads its messages under the numbers that the worker gives them, in every order of the
 * messages between tabs and worker. SCHEDULES sets the number of random schedules; failures report the seed.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { TabOutbox } from '../src/shared/outbox.js';
import type { TabRequest, WorkerNotice } from '../src/shared/ports.js';
import { fromStream, toStream } from '../src/shared/questions.js';
import { serveSharedStream, TAB_TIMEOUT } from '../src/shared/worker.js';
import { FakeStream } from './fake_stream.js';
import { Random } from './random.js';

const SCHEDULES = Math.ceil(Number(process.env['SCHEDULES'] ?? 1_500) / 5);

/** Returns the messages of an upload by number. */
function numbered(frames: readonly string[]): Map<number, string> {
  const messages = new Map<number, string>();
  let number = -1;
  for (const frame of frames) {
    if (frame.endsWith('N')) number = Number(frame.slice(0, -1));
    else messages.set(number++, frame.slice(0, -1));
  }
  return messages;
}

test('a tab uploads numbered messages, and others only if no other tab sends', () => {
  const outbox = new TabOutbox();
  for (const text of ['a', 'b', 'c', 'd']) outbox.push(text);
  assert.deepEqual(outbox.finalFrames(1_000), []);
  outbox.onQueued(0, 7);
  outbox.onQueued(1, 9);
  assert.deepEqual(outbox.finalFrames(1_000), ['7N', 'a ', '9N', 'b ']);
  outbox.onAlone(10);
  assert.deepEqual(outbox.finalFrames(1_000), ['7N', 'a ', '9N', 'b ', 'c ', 'd ']);
  outbox.settle(1);
  assert.deepEqual(outbox.finalFrames(1_000), ['7N', 'a ', '10N', 'c ', 'd ']);
  outbox.onAlone(null);
  assert.deepEqual(outbox.finalFrames(1_000), ['7N', 'a ']);
});

test('an upload is limited', () => {
  const outbox = new TabOutbox();
  outbox.onAlone(0);
  for (const text of ['abc', 'defg']) outbox.push(text);
  const limit = 3 + 20 + 4 + 20;
  assert.deepEqual(outbox.finalFrames(limit - 1), ['0N', 'abc ']);
  assert.deepEqual(outbox.finalFrames(limit), ['0N', 'abc ', 'defg ']);
  assert.deepEqual(outbox.finalFrames(limit + 1), ['0N', 'abc ', 'defg ']);
});

/** Timers of the worker. */
class FakeClock {
  #now = 0;
  #timers: { at: number; run: () => void }[] = [];

  setTimeout = (run: () => void, ms: number): void => void this.#timers.push({ at: this.#now + ms, run });

  now = (): number => this.#now;

  tick(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter(({ at }) => at > this.#now);
    for (const { run } of due) run();
  }
}

/** A tab with its port: messages between tab and worker are delivered when the test decides. */
class FakeTab {
  readonly outbox = new TabOutbox();
  readonly toWorker: TabRequest[] = [];
  readonly toTab: WorkerNotice[] = [];
  readonly port: { onmessage: ((event: { data: TabRequest }) => void) | null; postMessage: (notice: WorkerNotice) => void };
  /** Uploads after the unload. */
  readonly uploads: Map<number, string>[] = [];
  left = false;
  /** The browser runs no script of the tab. */
  frozen = false;

  constructor(readonly name: string) {
    this.port = { onmessage: null, postMessage: (notice) => void this.toTab.push(notice) };
  }

  send(text: string): void {
    this.toWorker.push({ of: this.outbox.push(text), text });
    if (this.left) this.upload();
  }

  upload(): void {
    this.uploads.push(numbered(this.outbox.finalFrames(60_000)));
  }

  leave(): void {
    this.left = true;
    this.upload();
    this.toWorker.push('bye');
  }

  deliverToTab(): void {
    if (this.frozen) return;
    const notice = this.toTab.shift();
    if (!notice || this.left) return;
    if (notice.type === 'queued') this.outbox.onQueued(notice.of, notice.at);
    if (notice.type === 'sent') this.outbox.settle(notice.of);
    if (notice.type !== 'alone') return;
    this.outbox.onAlone(notice.at);
    if (notice.at === null) this.toWorker.push('shared');
  }

  deliverToWorker(): void {
    const data = this.toWorker.shift();
    if (data) this.port.onmessage?.({ data });
  }

  thaw(): void {
    this.frozen = false;
    while (this.toTab.length > 0) this.deliverToTab();
  }
}

/** Lets the time pass after which the worker counts frozen tabs as absent. */
function timeOut(tabs: readonly FakeTab[], clock: FakeClock): void {
  for (const ms of [0, TAB_TIMEOUT, 1]) {
    clock.tick(ms);
    for (const tab of tabs) if (!tab.left && !tab.frozen) tab.toWorker.push('ping');
    for (let round = 0; round < 20; round += 1) for (const tab of tabs) (tab.deliverToTab(), tab.deliverToWorker());
  }
}

/** Runs `body` with the timers and the streams of a worker. */
async function inWorker(body: (clock: FakeClock) => Promise<void>): Promise<void> {
  const { setTimeout } = globalThis;
  const { now } = performance;
  const clock = new FakeClock();
  globalThis.dispatchEvent ??= () => true;
  Object.assign(globalThis, { setTimeout: clock.setTimeout, Minerva: { MinervaStream: FakeStream } });
  Object.assign(performance, { now: clock.now });
  try {
    await body(clock);
  } finally {
    Object.assign(globalThis, { setTimeout });
    Object.assign(performance, { now });
  }
}

function connectTab(scope: { onconnect: unknown }, name: string): FakeTab {
  const tab = new FakeTab(name);
  (scope.onconnect as (event: unknown) => void)({ ports: [tab.port] });
  return tab;
}

test('a crashed tab does not keep the last one from numbering its messages, and a frozen tab misses nothing', () =>
  inWorker(async (clock) => {
    const scope = { name: JSON.stringify({ url: 'http://x/', options: {} }), onconnect: null as unknown };
    serveSharedStream(scope);
    const [one, two] = [connectTab(scope, 'one'), connectTab(scope, 'two')];
    const settle = (): void => {
      for (let round = 0; round < 10; round += 1) for (const tab of [one, two]) (tab.deliverToTab(), tab.deliverToWorker());
    };
    settle();
    two.frozen = true;
    clock.tick(TAB_TIMEOUT);
    one.toWorker.push('ping');
    settle();
    one.send('a');
    assert.deepEqual(one.outbox.finalFrames(1_000), [], 'before the timeout the other tab counts');
    settle();
    clock.tick(1);
    one.toWorker.push('ping');
    settle();
    one.send('b');
    assert.deepEqual(one.outbox.finalFrames(1_000), ['0N', 'a ', 'b ']);
    FakeStream.last.dispatchEvent(new MessageEvent('message', { data: 'for all' }));
    assert(two.toTab.some((notice) => notice.type === 'message'), 'a frozen tab receives the messages later');
    two.thaw();
    two.send('c');
    settle();
    assert.deepEqual(FakeStream.last.messages, ['a', 'b', 'c']);
    assert.deepEqual(one.outbox.finalFrames(1_000), ['0N', 'a ', 'b '], 'the other tab sends as well');
    one.send('d');
    assert.deepEqual(one.outbox.finalFrames(1_000), ['0N', 'a ', 'b ']);
  }));

test('random schedules: uploads of leaving tabs agree with the numbers of the worker', () => inWorker(async (clock) => {
  let uploaded = 0;
  for (let seed = 0; seed < SCHEDULES; seed += 1) {
    const random = new Random(seed);
    const scope = { name: JSON.stringify({ url: 'http://x/', options: {} }), onconnect: null as unknown };
    serveSharedStream(scope);
    const tabs: FakeTab[] = [];
    for (let step = 0; step < 80; step += 1) {
      const present = tabs.filter((tab) => !tab.left);
      if (present.length === 0 || (present.length < 3 && random.chance(0.1))) {
        tabs.push(connectTab(scope, `tab${tabs.length}`));
      }
      const tab = tabs[random.below(tabs.length)] as FakeTab;
      if (!tab.left && random.chance(0.05)) {
        if (tab.frozen) tab.thaw();
        else tab.frozen = true;
      }
      if (random.chance(0.03)) timeOut(tabs, clock);
      if (!tab.left && !tab.frozen && random.chance(0.4)) tab.send(`${tab.name} ${step}`);
      if (!tab.left && !tab.frozen && random.chance(0.05)) {
        tab.leave();
        // A handler of the page sends behind the unload; the browser delivers what the tab has sent.
        if (random.chance(0.5)) tab.send(`${tab.name} last`);
        if (random.chance(0.5)) while (tab.toWorker.length > 0) tab.deliverToWorker();
      }
      for (const each of tabs) {
        if (random.chance(0.5)) each.deliverToWorker();
        if (random.chance(0.5)) each.deliverToTab();
      }
      if (random.chance(0.3)) FakeStream.last.acknowledge();
      if (random.chance(0.1)) {
        // What a page sends during its unload arrives together.
        for (const each of tabs) while (each.left && each.toWorker.length > 0) each.deliverToWorker();
        clock.tick(50);
      }
      await Promise.resolve();
    }
    for (let round = 0; round < 100; round += 1) {
      for (const tab of tabs) tab.deliverToWorker();
      for (const tab of tabs) tab.deliverToTab();
      clock.tick(50);
      await Promise.resolve();
    }
    for (const tab of tabs) {
      for (const [number, text] of tab.uploads.flatMap((upload) => [...upload])) {
        assert.equal(FakeStream.last.messages[number], text, `seed ${seed}: message ${number} of ${tab.name}`);
        uploaded += 1;
      }
    }
  }
  assert(uploaded > SCHEDULES, `${uploaded} uploads`);
}));

test('the worker closes behind the messages of all tabs, and later tabs have another stream', () =>
  inWorker(async () => {
    const scope = { name: JSON.stringify({ url: 'http://x/', options: {} }), onconnect: null as unknown };
    serveSharedStream(scope);
    const tab = connectTab(scope, 'one');
    const first = FakeStream.last;
    tab.send('a');
    tab.toWorker.push({ close: 'done' });
    tab.deliverToWorker();
    tab.deliverToWorker();
    assert.deepEqual([first.messages, first.closed], [['a'], 'done']);
    connectTab(scope, 'two');
    assert(FakeStream.last !== first);
  }));

test('questions of tabs have numbers of their own, and one tab answers the questions of the application', () => {
  for (const seat of [0, 1, 1_000_000]) {
    const asked = toStream('body|5|7Q', seat);
    const number = seat * 2 ** 32 + 7;
    assert.equal(asked, `body|5|${number}Q`);
    assert.equal(toStream('7C', seat), `${number}C`);
    for (const kind of ['K', 'E', 'U']) {
      assert.equal(fromStream(`answer|${number}${kind}`, seat, false), `answer|7${kind}`);
      assert.equal(fromStream(`answer|${number}${kind}`, seat + 1, true), null);
    }
  }
  for (const own of ['answer|7K', 'failed|7E', 'a notification|7Q#']) assert.equal(toStream(own, 3), own);
  assert.equal(fromStream('|3Q', 1, true), '|3Q');
  assert.equal(fromStream('|3Q', 1, false), null);
  for (const other of ['3C', 'notification#', 'plain']) assert.equal(fromStream(other, 1, false), other);
});
