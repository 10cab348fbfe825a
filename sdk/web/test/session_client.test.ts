/** Sessions of the client on storage of the test: page loads, messages that wait, the end and `forget`. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { MinervaStream, type Rejoin } from '../src/client.js';

/** Web Storage and the part of IndexedDB that sessions use; every transaction completes in a later turn. */
class FakeStorage {
  readonly items = new Map<string, string>();
  readonly stores = new Map<string, Map<string, unknown>>([['sessions', new Map()], ['own', new Map()]]);
  isBroken = false;

  getItem = (key: string): string | null => this.items.get(key) ?? null;
  setItem = (key: string, value: string): void => void this.items.set(key, value);

  open = (): object => {
    const db = { transaction: () => this.#transaction(), createObjectStore() {} };
    return this.isBroken ? later(null, true) : later(db);
  };

  #transaction(): object {
    const transaction = { objectStore: (name: string) => this.#store(name), abort() {}, oncomplete: () => {} };
    setTimeout(() => transaction.oncomplete(), 2);
    return transaction;
  }

  #store(name: string): object {
    const store = this.stores.get(name) as Map<string, unknown>;
    const entries = (): [unknown[], unknown][] => [...store].map(([key, value]) => [JSON.parse(key) as unknown[], value]);
    const inOrder = (): [unknown[], unknown][] => entries().sort(([a], [b]) => Number(a[1]) - Number(b[1]));
    return {
      get: (key: string) => later(store.get(JSON.stringify(key))),
      put: (value: unknown, key: unknown) => void store.set(JSON.stringify(key), value),
      delete: (key: unknown) => void (isRange(key) ? store.clear() : store.delete(JSON.stringify(key))),
      getAllKeys: () => later(inOrder().map(([key]) => key)),
      getAll: () => later(inOrder().map(([, value]) => value)),
      openCursor: () => later(null),
    };
  }
}

function isRange(key: unknown): boolean {
  return typeof key === 'object' && !Array.isArray(key);
}

function later(result: unknown, fails = false): object {
  const request: { result: unknown; onsuccess?: () => void; onerror?: () => void } = { result };
  queueMicrotask(() => (fails ? request.onerror : request.onsuccess)?.());
  return request;
}

const encoder = new TextEncoder();

function frame(kind: string, body: string): Uint8Array {
  const bytes = encoder.encode(body);
  return Uint8Array.from([kind.charCodeAt(0), bytes.length, ...bytes]);
}

type Hello = Record<string, unknown>;

/** Answers each long-poll with frames; returns the hellos and the messages. */
function serve(answer: (hello: Hello, rest: string) => Uint8Array[]): { hellos: Hello[]; bodies: string[]; finish: (...streams: MinervaStream[]) => Promise<void> } {
  const hellos: Hello[] = [];
  const bodies: string[] = [];
  const { fetch } = globalThis;
  let isOver = false;
  globalThis.fetch = async (_url, request) => {
    const text = new TextDecoder().decode(request?.body as Uint8Array<ArrayBuffer>);
    const [line = '', ...rest] = text.split('H\n');
    const hello = JSON.parse(line) as Hello;
    hellos.push(hello);
    bodies.push(rest.join(''));
    const frames = isOver ? [frame('W', '{}'), frame('!', 'over|1'), frame('Y', '')] : answer(hello, rest.join(''));
    if (frames.length === 0) return new Promise((_, reject) => request?.signal?.addEventListener('abort', () => reject(new Error('aborted'))));
    return new Response(new Blob(frames as BlobPart[]), { headers: { 'content-type': 'application/octet-stream' } });
  };
  /** Ends streams, whose timers would keep the process alive. */
  const finish = async (...streams: MinervaStream[]): Promise<void> => {
    isOver = true;
    for (const stream of streams) {
      stream.reset('over');
      stream.cut();
    }
    await until(() => streams.every(({ end }) => end !== null), 'the streams end');
    globalThis.fetch = fetch;
  };
  return { hellos, bodies, finish };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let turn = 0; !condition(); turn += 1) {
    assert(turn < 400, what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const URL_ = 'http://127.0.0.1:9/_minerva/';
const BORN = '7.00000007b0d88862';

async function withStorage(body: (storage: FakeStorage) => Promise<void>): Promise<void> {
  const storage = new FakeStorage();
  const globals = { sessionStorage: storage, indexedDB: storage, IDBKeyRange: { bound: () => ({}) } };
  for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true });
  try {
    await body(storage);
  } finally {
    for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name);
  }
}

const options = { session: 's', transport: 'long-poll' } as const;

test('a second page continues the stream with its messages, and a third one after the end begins anew', () =>
  withStorage(async (storage) => {
    let isWelcome = true;
    const server = serve(({ gen }, rest) => {
      if (!isWelcome) return [frame('R', '{"status":410,"code":"gone","title":"over","do":"end"}'), frame('Y', '')];
      if (rest.length > 0 && gen === undefined) return [frame('W', `{"born":"${BORN}"}`)];
      return gen === 1 && rest.includes('kept') && server.bodies.length < 40 ? [frame('W', '{"from":4,"own":2}'), frame('N', '4'), frame('m', 'four')] : [];
    });
    const first = new MinervaStream(URL_, options);
    first.send('kept').catch(() => {});
    await until(() => JSON.stringify([...(storage.stores.get('sessions')?.values() ?? [])]).includes(BORN), 'the first page is welcomed');
    assert(first.stored);
    first.cut();
    const second = new MinervaStream(URL_, { ...options, rewind: 'unseen' });
    const rejoins: Rejoin[] = [];
    const received: [unknown, string][] = [];
    second.onrejoin = ({ data }) => rejoins.push(data);
    second.onmessage = ({ data, lastEventId }) => received.push([data, lastEventId]);
    second.send('new').catch(() => {});
    await until(() => received.length > 0, 'the second page receives');
    assert.equal(second.id, first.id);
    assert.deepEqual(received, [['four', '4']]);
    assert.deepEqual(rejoins, [{ generation: 1, from: 4, complete: false, fresh: false, unsent: [] }]);
    await until(() => server.bodies.some((body) => body.includes('new')), 'the held message is written');
    assert(server.bodies.some((body) => body.includes('N\x012') && body.includes('new')), 'the held message has the first new number');
    assert.equal(new Set(server.hellos.map(({ id }) => id)).size, 1, 'no stream but that of the session');
    const hello = server.hellos.find(({ gen }) => gen === 1);
    assert.deepEqual([hello?.['rew'], hello?.['own'], hello?.['born'], hello?.['key']], [0, 1, BORN, server.hellos[0]?.['key']]);
    isWelcome = false;
    second.cut();
    const third = new MinervaStream(URL_, options);
    let fresh: Rejoin | undefined;
    third.onrejoin = ({ data }) => (fresh = data);
    await until(() => fresh !== undefined, 'the third page begins anew');
    assert(fresh?.fresh && third.id !== first.id);
    assert.deepEqual(fresh.unsent.map(({ message }) => message), ['kept', 'new']);
    await server.finish(first, second, third);
  }));

test('without storage the stream works and is not stored', () =>
  withStorage(async (storage) => {
    storage.isBroken = true;
    const server = serve(() => [frame('W', `{"born":"${BORN}"}`), frame('m', 'hello')]);
    const stream = new MinervaStream(URL_, options);
    let received = '';
    stream.onmessage = ({ data }) => (received = String(data));
    await until(() => received === 'hello', 'a message arrives');
    assert(!stream.stored);
    await server.finish(stream);
  }));

test('forget resets the stream and deletes the record', () =>
  withStorage(async (storage) => {
    await MinervaStream.forget('s');
    const server = serve((_, rest) => (rest.includes('forgotten') ? [frame('W', '{"from":0,"own":1}'), frame('!', 'forgotten|1'), frame('Y', '')] : rest.length > 0 ? [frame('W', `{"born":"${BORN}"}`)] : []));
    const stream = new MinervaStream(URL_, options);
    stream.send('x').catch(() => {});
    await until(() => JSON.stringify([...(storage.stores.get('sessions')?.values() ?? [])]).includes(BORN), 'the page is welcomed');
    stream.cut();
    globalThis.WebSocket = class {
      constructor() {
        throw new Error('none');
      }
    } as unknown as typeof WebSocket;
    await MinervaStream.forget('s');
    assert.equal(storage.stores.get('sessions')?.size, 0);
    assert.equal(storage.stores.get('own')?.size, 0);
    assert(server.hellos.some(({ gen }) => gen === 1));
    await server.finish(stream);
  }));

test('an invalid option ends the stream with the broken rule, and rejects what was sent', () =>
  withStorage(async () => {
    for (const [invalid, reason] of [
      [{ session: '' }, 'session is a name'],
      [{ session: 42 }, 'session is a name'],
      [{ scope: 'page' }, 'scope is tab or origin'],
      [{ busy: 'ask' }, 'busy is new, wait or steal'],
      [{ rewind: -1 }, 'rewind is all, unseen, new or a message number'],
      [{ rewind: 'last' }, 'rewind is all, unseen, new or a message number'],
    ] as const) {
      const stream = new MinervaStream(URL_, { ...options, ...invalid } as never);
      const sent = assert.rejects(stream.send('lost'), new RegExp(reason));
      await until(() => stream.end !== null, 'the stream ends');
      assert.equal(stream.end?.reason, reason);
      await sent;
    }
  }));
