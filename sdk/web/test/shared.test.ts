/**
 * Shared streams: a leaving tab uploads its messages under the numbers that the worker gives them, in every order of the
 * messages between tabs and worker. SCHEDULES sets the number of random schedules; failures report the seed.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { TabOutbox } from '../src/shared/outbox.js';
import type { TabRequest, WorkerNotice } from '../src/shared/ports.js';
import { serveSharedStream, TAB_TIMEOUT } from '../src/shared/worker.js';
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

/** Stream in the worker: the index of a message is its number. */
class FakeStream extends EventTarget {
  static last: FakeStream;
  readonly messages: string[] = [];
  readonly id = 'id';
  readonly state = 'open';
  readonly transport = null;
  readonly end = null;
  #acks: (() => void)[] = [];

  constructor() {
    super();
    FakeStream.last = this;
  }

  get counters(): { sent: number } {
    return { sent: this.messages.length };
  }

  send(text: string): Promise<void> {
    this.messages.push(text);
    return new Promise((resolve) => this.#acks.push(resolve));
  }

  acknowledge(): void {
    this.#acks.shift()?.();
  }
}

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

interface Globals {
  readonly ticks: (() => void)[];
  readonly uploads: string[];
}

/** Runs `body` with the globals of a page. Its timers run when the test calls `ticks`; its requests are in `uploads`. */
async function inPage(body: (globals: Globals) => Promise<void>): Promise<void> {
  const { setInterval, clearInterval, fetch } = globalThis;
  const ticks: (() => void)[] = [];
  const uploads: string[] = [];
  const ignore = (): void => {};
  Object.assign(globalThis, {
    Minerva: { MinervaStream: FakeStream, MinervaError: Error, toJson: JSON.stringify },
    addEventListener: ignore,
    removeEventListener: ignore,
    setInterval: (tick: () => void) => ticks.push(tick) - 1,
    clearInterval: (number: number) => (ticks[number] = ignore),
    fetch: (_url: URL, init: { body: string }) => Promise.resolve(uploads.push(init.body)),
  });
  try {
    await body({ ticks, uploads });
  } finally {
    Object.assign(globalThis, { setInterval, clearInterval, fetch });
    for (const name of ['Minerva', 'addEventListener', 'removeEventListener']) Reflect.deleteProperty(globalThis, name);
  }
}

test('the death of the worker: every tab has the end, each unacknowledged send its reason, and the server the messages', () =>
  inPage(async ({ ticks, uploads }) => {
    const { SharedStream } = await import('../src/shared.js');
    const tabs = ['one', 'two'].map((name) => {
      const port = { onmessage: null as ((event: { data: WorkerNotice }) => void) | null, postMessage: () => {} };
      const stream = new SharedStream({ port } as unknown as SharedWorker, new URL('http://a.example/_minerva/'), {});
      const log: string[] = [];
      stream.onend = ({ data }) => log.push(`end ${data.reason} by ${data.by}`);
      stream.onmessage = ({ data }) => log.push(data);
      const notify = (data: WorkerNotice): void => port.onmessage?.({ data });
      notify({ type: 'hello', id: 'id', state: 'open' });
      notify({ type: 'state', data: 'open', state: 'open' });
      const send = (text: string): void => {
        const done = (result: string) => (error?: Error) => log.push(`${text} ${result}${error ? `: ${error.message}` : ''}`);
        stream.send(text).then(() => done('sent')(), done('rejected'));
      };
      return { name, stream, log, notify, send };
    });
    for (const { name, send } of tabs) for (const text of ['acknowledged', 'numbered', 'unnumbered']) send(`${name} ${text}`);
    for (const [index, { notify }] of tabs.entries()) {
      notify({ type: 'queued', of: 0, at: index });
      notify({ type: 'queued', of: 1, at: index + 2 });
      notify({ type: 'sent', of: 0, problem: null });
      notify({ type: 'message', data: 'news', state: 'open' });
    }
    await Promise.resolve();
    for (let tick = 0; tick < 6; tick += 1) for (const run of ticks) run();
    for (const { name, stream, send } of tabs) {
      assert.deepEqual([stream.state, stream.end?.reason, stream.transport], ['ended', 'shared worker lost', null]);
      send(`${name} late`);
    }
    // Whatever the worker sends later: it may have been suspended, and the end is final.
    for (const { notify } of tabs) {
      notify({ type: 'sent', of: 1, problem: null });
      notify({ type: 'message', data: 'more', state: 'open' });
    }
    await new Promise((resolve) => setTimeout(resolve));
    const reason = 'the stream has ended: shared worker lost';
    for (const { name, log } of tabs) {
      assert.deepEqual(log, [
        'news',
        `${name} acknowledged sent`,
        'end shared worker lost by client',
        `${name} numbered rejected: ${reason}`,
        `${name} unnumbered rejected: ${reason}`,
        `${name} late rejected: ${reason}`,
      ]);
    }
    // The numbers of the other messages have died with the worker.
    assert.deepEqual(
      uploads.map((upload) => upload.split('\n').slice(1)),
      [2, 3].map((number) => [`${number}N`, `${number === 2 ? 'one' : 'two'} numbered `, 'shared worker lost|1!', '']),
    );
  }));

test('a tab that opens a stream of its own leaves a slow worker first', async () => {
  const calls: string[] = [];
  const port = {
    onmessage: null as ((event: { data: WorkerNotice }) => void) | null,
    postMessage: (request: TabRequest): void => void calls.push(String(request)),
    close: (): void => void calls.push('close'),
  };
  const ignore = (): void => {};
  Object.assign(globalThis, { Minerva: { MinervaStream: FakeStream }, addEventListener: ignore, removeEventListener: ignore });
  try {
    const { SharedStream } = await import('../src/shared.js');
    const tab = new SharedStream({ port } as unknown as SharedWorker, new URL('http://a.example/_minerva/'), {});
    port.onmessage?.({ data: { type: 'failed' } });
    void tab.send('x');
    assert.deepEqual([calls, FakeStream.last.messages], [['bye', 'close'], ['x']]);
  } finally {
    for (const name of ['Minerva', 'addEventListener', 'removeEventListener']) Reflect.deleteProperty(globalThis, name);
  }
});
