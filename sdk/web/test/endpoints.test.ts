/** URLs of a service: credentials alike on every transport, and several URLs in turn. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { MinervaError, MinervaStream } from '../src/client.js';
import { Endpoints } from '../src/endpoints.js';
import { RealServer } from './real_server.js';
import { KINDS } from './simulation.js';

const BASES = ['https://a.example/_minerva/', 'https://b.example/_minerva/', 'https://c.example/_minerva/'].map((url) => new URL(url));

/** Runs `body` as in a page at `href`. */
function inPage(href: string, body: () => void): void {
  const location = new URL(href);
  Object.assign(globalThis, { location });
  try {
    body();
  } finally {
    Reflect.deleteProperty(globalThis, 'location');
  }
}

test('a WebSocket omits cookies where requests do', () => {
  for (const [credentials, page, omits] of [
    ['include', 'https://a.example/x', false],
    ['include', 'https://other.example/', false],
    ['same-origin', 'https://a.example/x', false],
    ['same-origin', 'https://other.example/', true],
    ['same-origin', 'http://a.example/', true],
    ['omit', 'https://a.example/x', true],
    ['omit', 'https://other.example/', true],
  ] as const) {
    inPage(page, () => {
      const endpoints = new Endpoints(BASES, credentials);
      assert.equal(endpoints.url('websocket'), `wss://a.example/_minerva/ws${omits ? '?credentials=omit' : ''}`);
      for (const kind of ['http-stream', 'long-poll', 'upload'] as const) {
        assert.equal(endpoints.url(kind), 'https://a.example/_minerva/io/');
      }
    });
  }
  assert.equal(new Endpoints(BASES).url('websocket'), 'wss://a.example/_minerva/ws', 'no page, no cookies');
});

test('long requests have a host of their own, beside the first URL', () => {
  const endpoints = new Endpoints(BASES, 'include', new URL('https://long.example/_minerva/'));
  assert.equal(endpoints.url('http-stream'), 'https://long.example/_minerva/io/');
  assert.equal(endpoints.url('long-poll'), 'https://long.example/_minerva/io/');
  assert.equal(endpoints.url('upload'), 'https://a.example/_minerva/io/');
  assert.equal(endpoints.url('websocket'), 'wss://a.example/_minerva/ws');
  assert.equal(endpoints.url('http-stream', 1), 'https://b.example/_minerva/io/');
});

test('only the last resort of a round tries other URLs, each in turn', () => {
  const endpoints = new Endpoints(BASES);
  assert.equal(endpoints.next('long-poll', true, false), 0, 'the first attempt');
  const round = (): number[] => KINDS.map((kind) => endpoints.next(kind, true, false));
  assert.deepEqual([round(), round(), round(), round()], [[0, 0, 1], [0, 0, 2], [0, 0, 0], [0, 0, 1]]);
  assert.equal(endpoints.next('long-poll', false, false), 0, 'another transport works');
  assert.equal(endpoints.next('upload', true, true), 0);
});

test('with one kind only, every attempt after the first tries the next URL', () => {
  const endpoints = new Endpoints(BASES);
  assert.deepEqual([1, 2, 3, 4, 5].map(() => endpoints.next('websocket', true, true)), [0, 1, 2, 0, 1]);
});

test('the stream moves to the URL that answers, unless another transport works', () => {
  const endpoints = new Endpoints(BASES);
  endpoints.next('websocket', true, false);
  assert.equal(endpoints.next('long-poll', true, false), 1);
  assert.equal(endpoints.onAnswer(1, true), true);
  assert.equal(endpoints.onAnswer(0, false), false, 'a late answer of the former URL');
  assert.equal(endpoints.next('websocket', false, false), 1);
  assert.equal(endpoints.onAnswer(1, false), false);
  assert.equal(endpoints.next('long-poll', true, false), 1, 'a new round');
});

for (const kind of ['auto', ...KINDS] as const) {
  test(`${kind}: a stream to a dead and a living server works, and uses the best kind`, async () => {
    const server = new RealServer();
    const url = await server.listen();
    const stream = new MinervaStream(['http://127.0.0.1:9/_minerva/', url], { transport: kind });
    const best = kind === 'auto' ? 'websocket' : kind;
    await stream.send('x');
    for (let i = 0; i < 400 && stream.transport !== best; i += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(stream.transport, best);
    await stream.close();
    server.close();
  });
}

test('invalid URLs and credentials are rejected', () => {
  for (const urls of [[], [''], ['http://a.example/', 'file:///x']]) {
    assert.throws(() => new MinervaStream(urls.length === 1 ? 'http://' : urls), MinervaError);
  }
  const url = 'http://127.0.0.1:9/';
  assert.throws(() => new MinervaStream(url, { credentials: 'always' as RequestCredentials }), MinervaError);
  assert.throws(() => new MinervaStream(url, { longUrl: 'http://' }), MinervaError);
});
