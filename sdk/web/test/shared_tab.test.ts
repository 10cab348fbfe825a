/** Shared streams: the handle of a tab, with a worker that the test plays. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { MinervaError, MinervaStream, type DurableStream } from '../src/client.js';
import { Qan } from '../src/lazy_qan.js';
import type { TabRequest, WorkerNotice } from '../src/shared/ports.js';
import type { SharedStream } from '../src/shared/stream.js';
import { FakeStream } from './fake_stream.js';

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
    Minerva: { MinervaStream: FakeStream, MinervaError, Qan, toJson: JSON.stringify, logProblem: ignore },
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
      const port = { onmessage: null as ((event: { data: WorkerNotice }) => void) | null, postMessage: () => {}, close: () => {} };
      const stream = new SharedStream(() => ({ port }) as unknown as SharedWorker, new URL('http://a.example/_minerva/'), {});
      const log: string[] = [];
      stream.onend = ({ data }) => log.push(`end ${data.reason} by ${data.by}`);
      stream.onmessage = ({ data }) => log.push(String(data));
      const notify = (data: WorkerNotice): void => port.onmessage?.({ data });
      notify({ type: 'hello', id: 'id', state: 'open', seat: 0 });
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
    const tab = new SharedStream(() => ({ port }) as unknown as SharedWorker, new URL('http://a.example/_minerva/'), {});
    port.onmessage?.({ data: { type: 'failed' } });
    void tab.send('x');
    assert.deepEqual([calls, FakeStream.last.messages], [['bye', 'close'], ['x']]);
  } finally {
    for (const name of ['Minerva', 'addEventListener', 'removeEventListener']) Reflect.deleteProperty(globalThis, name);
  }
});

/** A tab whose worker is played by the test. */
async function openTab(): Promise<{ stream: SharedStream; requests: TabRequest[]; notify: (...notices: WorkerNotice[]) => void; starts: () => number }> {
  const { SharedStream } = await import('../src/shared.js');
  const requests: TabRequest[] = [];
  let starts = 0;
  let port: { onmessage: ((event: { data: WorkerNotice }) => void) | null };
  const start = (): SharedWorker => {
    starts += 1;
    port = Object.assign({ onmessage: null }, { postMessage: (request: TabRequest) => void requests.push(request), close: () => {} });
    return { port } as unknown as SharedWorker;
  };
  const stream = new SharedStream(start, new URL('http://a.example/_minerva/'), {});
  const notify = (...notices: WorkerNotice[]): void => notices.forEach((data) => port.onmessage?.({ data }));
  return { stream, requests, notify, starts: () => starts };
}

/** All members of the interface; the compiler requires each name. */
const MEMBERS: Record<keyof DurableStream, true> = {
  id: true, state: true, transport: true, problem: true, end: true, counters: true, bufferedAmount: true, ready: true, qan: true,
  onmessage: true, ontransport: true, onstate: true, onproblem: true, onend: true, onrejoin: true,
  addEventListener: true, removeEventListener: true, dispatchEvent: true, send: true, reset: true, close: true,
};

test('shared and plain streams have one interface', () =>
  inPage(async () => {
    const plain = new MinervaStream('/_minerva/');
    const { stream } = await openTab();
    const both: readonly DurableStream[] = [plain, stream];
    for (const each of both) {
      for (const name of Object.keys(MEMBERS)) assert(name in each, `${each.constructor.name}.${name}`);
    }
    plain.reset();
  }));

test('a shared stream has back-pressure as a plain one, and closes behind the messages of the tab', () =>
  inPage(async () => {
    const { stream, requests, notify } = await openTab();
    notify({ type: 'hello', id: 'id', state: 'open', seat: 0 });
    const text = 'x'.repeat(128 * 1024);
    for (let i = 0; i < 3; i += 1) void stream.send(text);
    assert.equal(stream.bufferedAmount, 3 * text.length);
    let isReady = false;
    void stream.ready.then(() => (isReady = true));
    await Promise.resolve();
    assert.equal(isReady, false);
    notify({ type: 'sent', of: 0, problem: null });
    await Promise.resolve();
    assert.equal(isReady, true, 'at the limit');
    const closed = stream.close('done');
    await assert.rejects(stream.send('late'), /ended: done/);
    await assert.rejects(stream.ready, /ended: done/);
    assert.deepEqual(requests.at(-1), { close: 'done' });
    notify({ type: 'message', data: 'a last one', state: 'open' }, { type: 'sent', of: 1, problem: null }, { type: 'sent', of: 2, problem: null });
    assert.deepEqual([stream.counters.received, stream.bufferedAmount], [1, 0]);
    notify({ type: 'end', data: { reason: 'done', applicationLevel: true, by: 'client' }, state: 'ended' });
    await closed;
    assert.deepEqual(stream.counters, { sent: 3, acknowledged: 3, received: 1, reconnects: 0 });
  }));

test('the end by the server rejects `close`, and a tab that closes before the worker answers closes later', () =>
  inPage(async () => {
    const { stream, requests, notify } = await openTab();
    const closed = stream.close('done');
    assert.deepEqual(requests, []);
    notify({ type: 'hello', id: 'id', state: 'open', seat: 0 });
    assert.deepEqual(requests, [{ close: 'done' }]);
    notify({ type: 'end', data: { reason: 'full', applicationLevel: true, by: 'server' }, state: 'ended' });
    await assert.rejects(closed, /ended: full/);
    await assert.rejects(stream.close(7 as unknown as string), /a reason/);
  }));

test('with a handler of `rejoin` a tab whose worker died has another stream and the messages of the former one', () =>
  inPage(async ({ ticks, uploads }) => {
    const { stream, requests, notify, starts } = await openTab();
    const log: string[] = [];
    stream.onrejoin = ({ data }) => {
      log.push(`rejoin ${data.fresh} ${data.complete} ${data.unsent.map(({ message, maybeDelivered }) => `${String(message)} ${maybeDelivered}`).join()}`);
      void stream.send('again');
    };
    stream.onstate = ({ data }) => log.push(data);
    stream.onend = () => log.push('end');
    notify({ type: 'hello', id: 'old', state: 'open', seat: 0 }, { type: 'state', data: 'open', state: 'open' });
    const lost = stream.send('lost').catch((error: Error) => error.message);
    void stream.send('x'.repeat(300_000)).catch(() => {});
    const { ready } = stream;
    notify({ type: 'queued', of: 0, at: 5 });
    for (let tick = 0; tick < 6; tick += 1) for (const run of [...ticks]) run();
    assert.equal(await lost, 'shared worker lost');
    await ready;
    assert.deepEqual(log, ['open', 'reconnecting', `rejoin true false lost true,${'x'.repeat(300_000)} true`]);
    assert.deepEqual([starts(), stream.id, stream.end, stream.bufferedAmount], [2, '', null, 5]);
    assert.deepEqual(uploads.map((upload) => upload.split('\n').slice(1)), [['5N', 'lost ', 'shared worker lost|1!', '']]);
    requests.length = 0;
    notify({ type: 'hello', id: 'new', state: 'connecting', seat: 0 }, { type: 'state', data: 'open', state: 'open' });
    assert.deepEqual(requests, [{ of: 0, text: 'again' }]);
    assert.deepEqual([stream.id, stream.state, stream.counters.reconnects], ['new', 'open', 1]);
  }));
