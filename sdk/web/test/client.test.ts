/** The client on real sockets against the model server. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { HIGH_WATER, MAX_BUFFERED, MinervaError, MinervaStream, toJson } from '../src/client.js';
import { MAX_MESSAGE } from '../src/frames.js';
import { MAX_INBOX_MESSAGES } from '../src/inbox.js';
import { RealServer } from './real_server.js';
import { KINDS } from './simulation.js';
import type { Kind } from '../src/stream/types.js';
import { request } from '../src/transports/http.js';

async function within(ms: number, condition: string, holds: () => boolean): Promise<void> {
  for (const start = performance.now(); !holds(); ) {
    if (performance.now() - start > ms) assert.fail(`not within ${ms} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function withServer(
  kind: Kind,
  body: (stream: MinervaStream, server: RealServer) => Promise<void>,
): Promise<void> {
  const server = new RealServer();
  const stream = new MinervaStream(await server.listen(), { transport: kind });
  try {
    await body(stream, server);
  } finally {
    stream.reset('test over');
    await within(5000, 'the end', () => stream.end !== null);
    server.close();
  }
}

for (const kind of KINDS) {
  test(`${kind}: client and server exchange messages, and a fulfilled send is durable`, () =>
    withServer(kind, async (stream, server) => {
      const received: unknown[] = [];
      stream.onmessage = (event) => received.push(event.data);
      await stream.send('one');
      assert.deepEqual(server.model.streams.get(stream.id)?.delivered, ['one']);
      await Promise.all(Array.from({ length: 100 }, (_, i) => stream.send(`c${i}`)));
      assert.equal(server.model.streams.get(stream.id)?.delivered.length, 101);
      for (let i = 0; i < 100; i += 1) server.model.streams.get(stream.id)?.send(`s${i}`);
      await within(5000, 'all received', () => received.length === 100);
      assert.deepEqual(received, Array.from({ length: 100 }, (_, i) => `s${i}`));
      await within(5000, 'all acknowledged', () => server.model.streams.get(stream.id)?.isSettled === true);
      assert.equal(stream.transport, kind);
      assert.equal(stream.state, 'open');
      assert.deepEqual(stream.counters, { sent: 101, acknowledged: 101, received: 100, reconnects: 0 });
      const post = 'POST /_minerva/io/ application/octet-stream';
      const expected = kind === 'websocket' ? 'GET /_minerva/ws minerva.3, minerva.2' : post;
      assert.deepEqual([...new Set(server.requests)], [expected]);
    }));

  test(`${kind}: crashes, cuts and switches lose no message`, () =>
    withServer(kind, async (stream, server) => {
      const received: unknown[] = [];
      stream.onmessage = (event) => received.push(event.data);
      await stream.send('c0');
      const model = server.model.streams.get(stream.id);
      assert(model);
      const sent = ['c0'];
      for (let i = 1; i < 120; i += 1) {
        sent.push(`c${i}`);
        stream.send(`c${i}`);
        model.send(`s${i}`);
        if (i % 40 === 10) server.crash();
        if (i % 40 === 20) stream.cut();
        if (i % 40 === 30) stream.switchTo(KINDS[(i / 10) % 3] ?? 'websocket');
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await within(20_000, 'all acknowledged', () => model.isSettled && stream.bufferedAmount === 0);
      assert.deepEqual(model.delivered, sent);
      assert.deepEqual(received, model.sent);
      assert(stream.counters.reconnects > 0);
    }));

  test(`${kind}: a message of the maximum length passes`, () =>
    withServer(kind, async (stream, server) => {
      await assert.rejects(stream.send('x'.repeat(MAX_MESSAGE + 1)), /at most/);
      for (const length of [MAX_MESSAGE - 1, MAX_MESSAGE]) {
        await stream.send('x'.repeat(length));
        assert.equal(server.model.streams.get(stream.id)?.delivered.pop()?.length, length);
        server.model.streams.get(stream.id)?.delivered.push('');
      }
    }));
}

for (const kind of KINDS) {
  test(`${kind}: a reset refuses sends at once, and ends the stream after the confirmation`, () =>
    withServer(kind, async (stream, server) => {
      await stream.send('first');
      const model = server.model.streams.get(stream.id);
      const events: unknown[] = [];
      for (const type of ['state', 'transport', 'end'] as const) {
        stream.addEventListener(type, ({ data }: MessageEvent) => events.push([type, data]));
      }
      const last = stream.send('last');
      stream.reset('bye');
      assert.equal(stream.end, null);
      await assert.rejects(stream.send('late'), /ended: bye/);
      await assert.rejects(stream.ready, /ended: bye/);
      await last;
      await within(5000, 'the end', () => stream.end !== null);
      assert.deepEqual(stream.end, { reason: 'bye', applicationLevel: true, by: 'client' });
      assert.deepEqual(events, [
        ['end', stream.end],
        ['transport', { kind: null, why: 'end' }],
        ['state', 'ended'],
      ]);
      assert.deepEqual([model?.reset, model?.delivered], ['bye', ['first', 'last']]);
    }));
}

test('a reset rejects open questions and pending `ready` at once', () =>
  withServer('http-stream', async (stream, server) => {
    const controller = new AbortController();
    const asked = stream.qan.ask('how', controller);
    await within(2000, 'the question', () => server.model.streams.get(stream.id)?.delivered.length === 1);
    server.crash();
    stream.send('x'.repeat(HIGH_WATER + 1));
    const { ready } = stream;
    stream.reset('bye');
    await assert.rejects(asked, /ended: bye/);
    await assert.rejects(ready, /ended: bye/);
    // No cancellation follows.
    controller.abort();
    assert.equal(stream.end, null);
  }));

test('a reset after the end at the server reports the reason of the application', () =>
  withServer('websocket', async (stream, server) => {
    await stream.send('x');
    server.crash();
    server.model.reset(stream.id, 'enough');
    stream.reset('bye');
    await within(5000, 'the end', () => stream.end !== null);
    assert.deepEqual(stream.end, { reason: 'enough', applicationLevel: true, by: 'server' });
    await assert.rejects(stream.send('late'), /ended: enough/);
  }));

test('a reset at page unload is sent in a request that outlives the page', async () => {
  const listeners = new Map<string, (event: object) => void>();
  Object.assign(globalThis, { addEventListener: listeners.set.bind(listeners) });
  try {
    await withServer('websocket', async (stream, server) => {
      await stream.send('x');
      const model = server.model.streams.get(stream.id);
      listeners.get('pagehide')?.({ type: 'pagehide' });
      stream.reset('gone');
      await within(2000, 'the reset', () => model?.reset === 'gone');
      assert.equal(stream.end, null, 'nothing is sent until the page returns');
      assert.equal(server.requests.at(-1), 'POST /_minerva/io/ application/octet-stream');
      // The page returns from the back-forward cache.
      listeners.get('pageshow')?.({ type: 'pageshow', persisted: true });
      await within(5000, 'the end', () => stream.end !== null);
      assert.equal(stream.end?.reason, 'gone');
    });
  } finally {
    Object.assign(globalThis, { addEventListener: undefined });
  }
});

test('the request of a reset outlives the page unless messages make it too long', () => {
  const reset = 'bye|1!';
  for (const [length, outlives] of [[4094, true], [4095, true], [4096, false]] as const) {
    const message = 'x'.repeat(length - reset.length - 2);
    assert.equal(request(2, [message, reset], 'same-origin').keepalive, outlives, `${length}`);
  }
  assert.equal(request(2, ['x '], 'same-origin').keepalive, false);
  assert.equal(request(2, ['x '], 'same-origin', true).keepalive, true);
});

test('invalid messages and reasons are rejected, and the stream continues', () =>
  withServer('http-stream', async (stream, server) => {
    await stream.send('first');
    for (const bad of ['\n', 'a\u007f', '\u00e9', '\u0000', 'ok\n']) {
      await assert.rejects(stream.send(bad), /0x20-0x7E/);
    }
    assert.throws(() => stream.reset('\n'), MinervaError);
    assert.throws(() => stream.reset('x'.repeat(256)), MinervaError);
    await stream.send(' ~');
    assert.deepEqual(server.model.streams.get(stream.id)?.delivered, ['first', ' ~']);
    assert.equal(stream.counters.sent, 2);
  }));

test('back-pressure: ready waits for acknowledgements, and the send buffer is bounded', async () => {
  const stream = new MinervaStream('http://127.0.0.1:9/_minerva/', { transport: 'websocket' });
  await stream.ready;
  stream.send('x'.repeat(HIGH_WATER));
  await stream.ready;
  stream.send('x');
  let ready = false;
  const waiting = stream.ready.then(
    () => (ready = true),
    () => {},
  );
  const chunk = 1 << 19;
  while (stream.bufferedAmount + chunk <= MAX_BUFFERED - 2) stream.send('x'.repeat(chunk));
  stream.send('x'.repeat(MAX_BUFFERED - 1 - stream.bufferedAmount));
  assert.equal(stream.bufferedAmount, MAX_BUFFERED - 1);
  await assert.rejects(stream.send('xx'), /full/);
  const last = stream.send('x');
  await assert.rejects(stream.send('x'), /full/);
  assert.equal(ready, false);
  stream.reset('done');
  await waiting;
  assert.equal(ready, false);
  await assert.rejects(last, /ended: done/);
  await assert.rejects(stream.send('x'), /ended/);
  await assert.rejects(stream.ready, /ended/);
  assert.deepEqual(stream.end, { reason: 'done', applicationLevel: true, by: 'client' });
});

test('events reach handlers and listeners', () =>
  withServer('websocket', async (stream, server) => {
    const events: unknown[] = [];
    stream.onstate = (event) => events.push(event.data);
    stream.addEventListener('transport', (event) => events.push(event.data.kind));
    stream.onend = (event) => events.push(event.data);
    await stream.send('x');
    server.model.reset(stream.id, 'enough');
    await within(2000, 'the end', () => stream.state === 'ended');
    const end = { reason: 'enough', applicationLevel: true, by: 'server' };
    assert.deepEqual(events, ['websocket', 'open', end, null, 'ended']);
  }));

test('iteration: messages in order until the end of the stream', () =>
  withServer('websocket', async (stream, server) => {
    await stream.send('x');
    const taken: unknown[] = [];
    const all = (async () => {
      for await (const text of stream) taken.push(text);
    })();
    for (const text of ['a', 'b', 'c']) server.model.streams.get(stream.id)?.send(text);
    await within(2000, 'three messages', () => taken.length === 3);
    server.model.reset(stream.id, 'enough');
    await all;
    assert.deepEqual(taken, ['a', 'b', 'c']);
  }));

test('iteration: a stalled loop pauses the server', () =>
  withServer('websocket', async (stream, server) => {
    await stream.send('x');
    const model = server.model.streams.get(stream.id);
    assert(model);
    const iterator = stream[Symbol.asyncIterator]();
    for (let i = 0; i < MAX_INBOX_MESSAGES; i += 1) model.send(`s${i}`);
    await within(5000, 'a full inbox', () => stream.counters.received >= MAX_INBOX_MESSAGES);
    for (let i = 0; i < 100; i += 1) model.send(`t${i}`);
    await stream.send('still up');
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert(!model.isSettled, 'acknowledged although no message was taken');
    assert(stream.counters.received < MAX_INBOX_MESSAGES + 100);
    for (let i = 0; i < MAX_INBOX_MESSAGES + 100; i += 1) {
      const expected = i < MAX_INBOX_MESSAGES ? `s${i}` : `t${i - MAX_INBOX_MESSAGES}`;
      assert.equal((await iterator.next()).value, expected);
    }
    await within(5000, 'all acknowledged', () => model.isSettled);
    await iterator.return?.();
  }));

test('ids: 26 characters, each id unique', () => {
  const ids = new Set<string>();
  for (let i = 0; i < 100; i += 1) {
    const stream = new MinervaStream('http://127.0.0.1:9/');
    assert(/^[0-9a-v]{26}$/.test(stream.id), stream.id);
    ids.add(stream.id);
    stream.reset();
  }
  assert.equal(ids.size, 100);
});

test('WHATWG streams: both directions, and close waits for durability', () =>
  withServer('websocket', async (stream, server) => {
    const writer = stream.writable.getWriter();
    for (let i = 0; i < 50; i += 1) await writer.write(`c${i}`);
    await writer.close();
    const model = server.model.streams.get(stream.id);
    assert.equal(model?.delivered.length, 50);
    const reader = stream.readable.getReader();
    for (const text of ['a', 'b', 'c']) model?.send(text);
    for (const text of ['a', 'b', 'c']) assert.deepEqual(await reader.read(), { done: false, value: text });
    server.model.reset(stream.id, 'enough');
    assert.deepEqual(await reader.read(), { done: true, value: undefined });
  }));

test('WHATWG streams: an invalid message fails the writer, not the stream', () =>
  withServer('websocket', async (stream) => {
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {});
    await stream.send('first');
    await assert.rejects(writer.write('\n'), /toJson/);
    await stream.send('goes on');
  }));

test('WHATWG streams: an abort resets the stream', () =>
  withServer('websocket', async (stream, server) => {
    await stream.send('x');
    const model = server.model.streams.get(stream.id);
    await stream.writable.abort();
    await within(2000, 'the reset', () => model?.reset === 'aborted');
  }));

test('QAN over a stream: questions and answers in both directions, and no message events', () =>
  withServer('http-stream', async (stream, server) => {
    const events: unknown[] = [];
    stream.onmessage = (event) => events.push(event.data);
    stream.qan.handle({ question: (body) => `${body}?` });
    const asked = stream.qan.ask('how');
    await within(2000, 'the question', () => server.model.streams.get(stream.id)?.delivered.length === 1);
    const model = server.model.streams.get(stream.id);
    assert.deepEqual(model?.delivered, ['how|1Q']);
    model?.send('so|1K');
    assert.equal(await asked, 'so');
    model?.send('why|1Q');
    await within(2000, 'the answer', () => model?.delivered.length === 2);
    assert.deepEqual(model?.delivered.slice(1), ['why?|1K']);
    assert.deepEqual(events, []);
    model?.send('no frame');
    await within(2000, 'the end', () => stream.state === 'ended');
    assert.equal(stream.end?.reason, 'bad QAN frame');
  }));

test('messages sent in the upload event share the upload', () =>
  withServer('http-stream', async (stream, server) => {
    await stream.send('first');
    stream.onupload = () => {
      if (stream.counters.sent === 2) stream.send('added');
    };
    await stream.send('queued');
    assert.deepEqual(server.model.streams.get(stream.id)?.delivered, ['first', 'queued', 'added']);
  }));

test('toJson: printable ASCII that JSON.parse restores', () => {
  const text = toJson({ é: '☃\u{1f600}\u007f\n' });
  assert(/^[ -~]*$/.test(text), text);
  assert.deepEqual(JSON.parse(text), { é: '☃\u{1f600}\u007f\n' });
});
