/** Version 3 of the protocol on real sockets: text of any characters, binary messages, and the selection of the version. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { encodeOut } from '../src/frames3.js';
import { MinervaStream, type MinervaOptions } from '../src/client.js';
import { Qan } from '../src/qan.js';
import { Random } from './random.js';
import { RealServer } from './real_server.js';
import { KINDS } from './simulation.js';

type Data = string | Uint8Array;

async function within(ms: number, condition: string, holds: () => boolean): Promise<void> {
  for (const start = performance.now(); !holds(); ) {
    if (performance.now() - start > ms) assert.fail(`not within ${ms} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function withServer(
  maxVersion: number,
  options: MinervaOptions,
  body: (stream: MinervaStream, server: RealServer, url: string) => Promise<void>,
): Promise<void> {
  const server = new RealServer();
  server.model.maxVersion = maxVersion;
  const url = await server.listen();
  const stream = new MinervaStream(url, options);
  try {
    await body(stream, server, url);
  } finally {
    stream.reset('test over');
    await within(5000, 'the end', () => stream.end !== null);
    server.close();
  }
}

/** Every scalar value, in messages of at most 64 KiB. */
function scalarValues(): string[] {
  const messages: string[] = [];
  for (let first = 0; first < 0x110000; first += 0x4000) {
    const codes = Array.from({ length: 0x4000 }, (_, index) => first + index);
    messages.push(codes.filter((code) => code < 0xd800 || code > 0xdfff).map((code) => String.fromCodePoint(code)).join(''));
  }
  return messages;
}

function samples(): Data[] {
  const random = new Random(3);
  const binary = [0, 1, 127, 128, 16_383, 16_384, 200_000].map((length) =>
    Uint8Array.from({ length }, () => random.below(256)),
  );
  return ['', ...scalarValues(), ...binary, '', '\ufefftext', new Uint8Array(0), '\r\n\0'];
}

for (const kind of KINDS) {
  test(`${kind}: every scalar value, binary and empty messages pass in both directions`, () =>
    withServer(3, { transport: kind }, async (stream, server) => {
      const all = samples();
      const received: Data[] = [];
      const numbers: string[] = [];
      stream.onmessage = ({ data, lastEventId }) => {
        received.push(data);
        numbers.push(lastEventId);
      };
      await Promise.all(all.map((message) => stream.send(message)));
      const model = server.model.streams.get(stream.id);
      assert.deepEqual(model?.delivered, all);
      for (const message of all) model?.send(message);
      await within(10_000, 'all received', () => received.length === all.length);
      assert.deepEqual(received, all);
      assert.deepEqual(numbers, all.map((_, number) => `${number}`));
      const binary = received.filter((data) => typeof data !== 'string');
      assert(binary.every((data) => data.buffer.byteLength === data.byteLength), 'a buffer of its own');
    }));

  test(`${kind}: a server without version 3 gets messages of version 2, and rejects others`, () =>
    withServer(2, { transport: kind }, async (stream, server) => {
      await stream.send('one');
      assert.deepEqual(server.model.streams.get(stream.id)?.delivered, ['one']);
      await assert.rejects(stream.send('é'), /0x20-0x7E, not as at 0: .*--max-version 3/);
      await assert.rejects(stream.send(new Uint8Array(1)), /no binary messages: .*--max-version 3/);
      const post = 'POST /_minerva/io/ application/octet-stream';
      const expected = kind === 'websocket' ? ['GET /_minerva/ws minerva.3, minerva.2'] : [post, post];
      assert.deepEqual(server.requests, expected);
    }));
}

test('over HTTP, one request per page asks for version 3', () =>
  withServer(2, { transport: 'http-stream' }, async (stream, server, url) => {
    await stream.send('one');
    const before = server.requests.length;
    const second = new MinervaStream(url, { transport: 'http-stream' });
    await within(2000, 'the second stream', () => second.state === 'open');
    assert.equal(server.requests.length, before + 1);
    second.reset();
    await within(2000, 'its end', () => second.end !== null);
  }));

test('with `version: 3`, a server of version 2 is a problem', async () => {
  const server = new RealServer();
  const stream = new MinervaStream(await server.listen(), { transport: 'websocket', version: 3 });
  await within(2000, 'the problem', () => stream.problem?.code === 'version');
  assert.match(stream.problem?.title ?? '', /--max-version 3/);
  assert.equal(stream.state, 'connecting');
  stream.reset();
  await within(2000, 'the end', () => stream.end !== null);
  server.close();
});

test('buffers are copied, views have their bounds, and bytes are counted', () =>
  withServer(3, { transport: 'websocket' }, async (stream, server) => {
    const bytes = Uint8Array.from([1, 2, 3, 4]);
    const sent = [stream.send(bytes), stream.send(bytes.buffer), stream.send(new DataView(bytes.buffer, 1, 2)), stream.send('é€')];
    assert.equal(stream.bufferedAmount, 4 + 4 + 2 + 5);
    bytes.fill(9);
    await Promise.all(sent);
    assert.equal(stream.bufferedAmount, 0);
    const expected = [[1, 2, 3, 4], [1, 2, 3, 4], [2, 3]].map((list) => Uint8Array.from(list));
    assert.deepEqual(server.model.streams.get(stream.id)?.delivered, [...expected, 'é€']);
  }));

test('a lone surrogate rejects the promise with its position', () =>
  withServer(3, { transport: 'websocket' }, async (stream) => {
    for (const [text, at] of [['\ud800', 0], ['ab\udc00', 2], ['\u{1f600}\ud83d', 2]] as const) {
      await assert.rejects(stream.send(text), new RegExp(`a lone surrogate at ${at}$`));
    }
    await stream.send('\u{1f600}');
  }));

test('a message of the longest length passes, and a longer one is rejected', () =>
  withServer(3, { transport: 'websocket' }, async (stream, server) => {
    await stream.send('first');
    const max = (1 << 20) - 1;
    for (const length of [max - 1, max]) await stream.send(new Uint8Array(length));
    await assert.rejects(stream.send(new Uint8Array(max + 1)), /at most 1048575 bytes/);
    await assert.rejects(stream.send('é'.repeat(1 << 19)), /at most 1048575 bytes/);
    assert.deepEqual(server.model.streams.get(stream.id)?.delivered.map((data) => data.length), [5, max - 1, max]);
  }));

test('crashes and cuts lose no message of version 3', () =>
  withServer(3, { transport: 'websocket' }, async (stream, server) => {
    await stream.send('first');
    const model = server.model.streams.get(stream.id);
    const sent: Data[] = ['first'];
    for (let round = 0; round < 20; round += 1) {
      const message = round % 2 ? Uint8Array.of(round, 0, 255) : `ü${round}\n`;
      sent.push(message);
      void stream.send(message);
      if (round % 5 === 4) server.crash();
      if (round % 5 === 2) stream.cut();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await within(20_000, 'all acknowledged', () => stream.bufferedAmount === 0);
    assert.deepEqual(model?.delivered, sent);
  }));

test('QAN: the kind of a message is the kind of its body', async () => {
  const sent: Data[] = [];
  const failed: string[] = [];
  const qan = new Qan(async (message) => void sent.push(message), (reason) => failed.push(reason));
  const ascii = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
  const notified: Data[] = [];
  qan.handle({ question: (body) => body, notification: (body) => void notified.push(body) });
  const answer = qan.ask(Uint8Array.of(0, 255));
  void qan.notify(Uint8Array.of(7));
  qan.recv(Uint8Array.of(1, 2, ...ascii('|1K')));
  assert.deepEqual(await answer, Uint8Array.of(1, 2));
  qan.recv(Uint8Array.of(9, 124, ...ascii('|4Q')));
  qan.recv('zwei\nZeilen|5Q');
  qan.recv(Uint8Array.of(5, 35));
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(sent, [
    Uint8Array.of(0, 255, ...ascii('|1Q')),
    Uint8Array.of(7, 35),
    Uint8Array.of(9, 124, ...ascii('|4K')),
    'zwei\nZeilen|5K',
  ]);
  assert.deepEqual(notified, [Uint8Array.of(5)]);
  assert.deepEqual(failed, []);
});

for (const kind of ['http-stream', 'long-poll'] as const) {
  test(`${kind}: a server that has ended the stream answers with the end alone, without a welcome`, async () => {
    const latin1 = new TextDecoder('latin1');
    const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      let body = '';
      for await (const piece of request) body += latin1.decode(piece);
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      const isReset = body.includes('bye|1', body.indexOf('\n'));
      response.write(latin1.decode(encodeOut(isReset ? 'bye|1!' : '{}W')));
      // A download goes on.
      if (isReset || body.includes('"ming":false')) response.end();
    };
    const server = createServer((request, response) => void answer(request, response));
    const port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
    const stream = new MinervaStream(`http://127.0.0.1:${port}/_minerva/`, { transport: kind });
    await within(5000, 'the welcome', () => stream.state === 'open');
    stream.reset('bye');
    await within(2000, 'the end', () => stream.end !== null);
    assert.deepEqual(stream.end, { reason: 'bye', applicationLevel: true, by: 'client' });
    server.close();
    server.closeAllConnections();
  });
}
