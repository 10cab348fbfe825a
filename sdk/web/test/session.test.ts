/**
 * State of sessions against a model: pages crash at any moment, and storage loses its last writes, but none before a completed
 * strict one. Every stored message is delivered once, in order, and no number is given twice.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { MAX_STORED, SessionState, type SessionRecord, type Stored, type Write } from '../src/session/state.js';
import { Random } from './random.js';

const { SCHEDULES = '1000' } = process.env;

/** Storage of one session: writes in order, of which a crash may lose the last ones. */
class Disk {
  #writes: Write[] = [];
  #durable = 0;

  /** Appends a write; a completed strict write and all before survive. */
  write(write: Write | null, isComplete = false): void {
    if (!write) return;
    this.#writes.push(write);
    if (write.strict && isComplete) this.#durable = this.#writes.length;
  }

  crash(random: Random, isTruncated: boolean): void {
    const lost = isTruncated ? random.below(this.#writes.length - this.#durable + 1) : 0;
    this.#writes.length -= lost;
    this.#durable = this.#writes.length;
  }

  load(): [SessionRecord | undefined, Stored[]] {
    let record: SessionRecord | undefined;
    const own = new Map<number, Stored[1]>();
    for (const write of this.#writes) {
      if (write.clear) own.clear();
      record = write.record ?? record;
      for (const slot of write.remove) own.delete(slot);
      for (const [slot, message] of write.put) own.set(slot, message);
    }
    return [record, [...own]];
  }
}

/** Server: one stream, as section 10 of docs/protocol.md describes the adoption. */
class Server {
  generation = -1;
  #key = '';
  #next = 0;
  #waiting = new Map<number, string | null>();
  readonly delivered: string[] = [];

  /** Answers a hello with the first own number. */
  hello(state: SessionState): number | 'gone' | 'superseded' {
    const { record, start } = state;
    const { key, generation } = record;
    if (this.generation < 0 && !start) {
      this.#key = key;
      this.generation = 0;
    }
    if (this.generation < 0) return 'gone';
    if (generation < this.generation) return 'superseded';
    if (!start) return 0;
    if (key !== this.#key && start.next !== this.#key) return 'gone';
    if (generation > this.generation) {
      const first = Math.max(this.#next, start.own);
      const end = Math.max(-1, ...this.#waiting.keys()) + 1;
      for (let number = first; number < end; number += 1) if (!this.#waiting.has(number)) this.#waiting.set(number, null);
      this.generation = generation;
      this.#key = start.next;
      this.#own = Math.max(this.#next, end, start.own);
      this.#deliver();
    }
    return this.#own;
  }

  #own = 0;

  recv(generation: number, number: number, message: string): void {
    if (generation !== this.generation || number < this.#next || this.#waiting.has(number)) return;
    this.#waiting.set(number, message);
    this.#deliver();
  }

  #deliver(): void {
    for (let message; (message = this.#waiting.get(this.#next)) !== undefined; this.#next += 1) {
      this.#waiting.delete(this.#next);
      if (message !== null) this.delivered.push(message);
    }
  }

  get acked(): number {
    return this.#next;
  }

  has(number: number): boolean {
    return number < this.#next || this.#waiting.has(number);
  }
}

/** Page with a session: the part of the client that the module drives. */
class Page {
  readonly state: SessionState;
  readonly unacked = new Map<number, string>();
  held: string[];
  #next = 0;
  isOpen = false;
  #begun = false;

  constructor(
    readonly disk: Disk,
    readonly server: Server,
    serial: number,
  ) {
    const [record, own] = disk.load();
    this.state = new SessionState(record, own, { id: `id ${serial}`, key: `key ${serial}` }, `next ${serial}`);
    this.held = this.state.held as string[];
    const { start } = this.state;
    for (const [number, message] of start?.restored ?? []) this.unacked.set(number, message as string);
    if (!start) this.isOpen = true;
  }

  send(message: string): void {
    if (this.isOpen) this.#number(message);
    else {
      this.held.push(message);
      this.disk.write(this.state.storeHeld(message));
    }
  }

  #number(message: string): void {
    const number = this.#next++;
    assert(!this.unacked.has(number), 'a number is given once');
    this.unacked.set(number, message);
    this.disk.write(this.state.storeSent(number, message));
  }

  /** Receives the answer to a hello; false if the stream is over for this page. */
  welcome(): boolean {
    const own = this.server.hello(this.state);
    if (typeof own === 'string') return false;
    const change = this.state.begin('7.0', 0, own);
    if (!change) return true;
    this.#begun = true;
    this.disk.write(change);
    if (!this.isOpen) this.#next = own;
    return true;
  }

  /** The strict write of the beginning is complete. */
  release(): void {
    if (this.isOpen || !this.#begun) return;
    const change = this.state.numberHeld(this.held);
    this.disk.write(change);
    // The page may crash before the write is complete; then the next call finds no further message.
    if (change) return;
    this.disk.write({ record: null, put: [], remove: [], strict: true }, true);
    this.isOpen = true;
    for (const message of this.held.splice(0)) this.#number(message);
  }

  /** Writes the first unacknowledged messages to a transport, of which each may be lost or late. */
  transmit(random: Random, late: (() => void)[]): void {
    const { generation } = this.state.record;
    for (const [number, message] of [...this.unacked].sort(([a], [b]) => a - b)) {
      if (random.below(4) === 0) return;
      const arrive = (): void => this.server.recv(generation, number, message);
      if (random.below(4) === 0) late.push(arrive);
      else arrive();
    }
  }

  acknowledge(): void {
    for (const number of [...this.unacked.keys()]) {
      if (!this.server.has(number)) continue;
      this.unacked.delete(number);
      this.disk.write(this.state.freeSent(number));
    }
  }
}

/** Runs one schedule; returns the sent and the delivered messages. */
function run(seed: number, isTruncated: boolean): { sent: string[]; delivered: string[] } {
  const random = new Random(seed);
  const [disk, server] = [new Disk(), new Server()];
  const late: (() => void)[] = [];
  const sent: string[] = [];
  let serial = 0;
  const load = (): Page => {
    const page = new Page(disk, server, serial++);
    disk.write(page.state.open(), true);
    return page;
  };
  let page = load();
  // The first page is welcomed before a crash: without, the server may have a stream that no page has confirmed.
  assert(page.welcome());
  disk.write({ record: null, put: [], remove: [], strict: true }, true);
  for (let step = 0; step < 60; step += 1) {
    const choice = random.below(12);
    if (choice < 4) {
      sent.push(`${sent.length}`);
      page.send(sent.at(-1) as string);
    } else if (choice < 6) assert(page.welcome(), 'the stream continues');
    else if (choice < 7) page.release();
    else if (choice < 9 && server.generation === page.state.record.generation) page.transmit(random, late);
    else if (choice < 10) page.acknowledge();
    else if (choice < 11) late.splice(random.below(late.length + 1), 1)[0]?.();
    else {
      disk.crash(random, isTruncated);
      page = load();
    }
  }
  assert(page.welcome());
  while (!page.isOpen) page.release();
  for (const arrive of late) arrive();
  for (let round = 0; page.unacked.size > 0; round += 1) {
    assert(round < 1000, `no gap for ever: ${[...page.unacked.keys()].join()} of ${server.acked}`);
    page.transmit(random, []);
    page.acknowledge();
  }
  return { sent, delivered: server.delivered };
}

test('without lost writes every message is delivered once, in order', () => {
  for (let seed = 0; seed < Number(SCHEDULES); seed += 1) {
    const { sent, delivered } = run(seed, false);
    assert.deepEqual(delivered, sent, `seed ${seed}`);
  }
});

test('with lost writes no message is delivered twice or out of order', () => {
  let lost = 0;
  for (let seed = 0; seed < Number(SCHEDULES); seed += 1) {
    const { sent, delivered } = run(seed, true);
    const numbers = delivered.map(Number);
    assert(numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? 0)), `seed ${seed}: ${delivered.join()}`);
    lost += sent.length - delivered.length;
  }
  assert(lost > 0, 'the schedules lose messages that were never durable');
});

test('a later page takes the generation, the key and the messages over', () => {
  const record = { id: 'i', key: 'k', generation: 3, born: '7.ab', position: 9 };
  const state = new SessionState(record, [[5, 'b'], [-2, 'd'], [-1, 'c'], [3, 'a']], { id: 'x', key: 'y' }, 'n', 'unseen');
  const restored = [[3, 'a'], [5, 'b']];
  assert.deepEqual(state.start, { generation: 4, next: 'n', born: '7.ab', rewind: 9, own: 6, restored });
  assert.deepEqual(state.open().record, { ...record, next: 'n', generation: 4 });
  assert.deepEqual(state.held, ['c', 'd']);
  // A page that ends before the answer keeps its new key for the next one.
  const again = new SessionState(state.record, [], { id: 'x', key: 'y' }, 'other');
  assert.deepEqual([again.start?.next, again.start?.generation, again.record.key], ['n', 5, 'k']);
  assert(state.storeHeld('e'));
  const begun = state.begin('7.ab', 9, 8);
  const numbered = state.numberHeld(['c', 'd', 'e']);
  assert.deepEqual([numbered?.put, numbered?.remove], [[[8, 'c'], [9, 'd'], [10, 'e']], [-1, -2, -3]]);
  assert(state.storeHeld('f'));
  assert.deepEqual(state.numberHeld(['c', 'd', 'e', 'f'])?.put, [[11, 'f']]);
  assert.equal(state.numberHeld(['c', 'd', 'e', 'f']), null);
  assert.deepEqual(begun?.record, { ...record, key: 'n', next: undefined, generation: 4 });
  assert.equal(state.begin('7.ab', 11, 8), null);
});

test('a rewind is complete unless wanted messages are missing', () => {
  const record = { id: 'i', key: 'k', generation: 0, born: '7.ab', position: 9 };
  const complete = (rewind: 'all' | 'unseen' | 'new' | number, from: number): boolean =>
    new SessionState(record, [], { id: 'x', key: 'y' }, 'n', rewind).isComplete(from);
  assert.deepEqual([complete('all', 0), complete('all', 1)], [true, false]);
  assert.deepEqual([complete('unseen', 9), complete('unseen', 10)], [true, false]);
  assert.deepEqual([complete(4, 4), complete(4, 5), complete('new', 50)], [true, false, true]);
});

test('a stream that is over, or was never confirmed, leaves its messages as unsent', () => {
  const own: Stored[] = [[3, 'a'], [-1, 'b']];
  const expected = [
    { message: 'a', maybeDelivered: true },
    { message: 'b', maybeDelivered: false },
  ];
  const unconfirmed = new SessionState({ id: 'i', key: 'k', generation: 0, position: 0 }, own, { id: 'x', key: 'y' }, 'n');
  assert.deepEqual([unconfirmed.start, unconfirmed.record.id, unconfirmed.unsent], [undefined, 'x', expected]);
  assert(unconfirmed.open().clear);
  const over = new SessionState({ id: 'i', key: 'k', generation: 0, born: '1.a', position: 0 }, own, { id: 'x', key: 'y' }, 'n');
  assert.deepEqual([over.isOver('gone'), over.isOver('superseded'), over.unsent], [true, false, expected]);
  over.begin('1.a', 0, 4);
  assert(!over.isOver('gone'));
});

test('beyond the limit nothing is stored until the unstored messages are acknowledged', () => {
  const state = new SessionState(undefined, [], { id: 'x', key: 'y' }, 'n');
  for (let number = 0; number < MAX_STORED; number += 1) assert(state.storeSent(number, 'm'));
  assert.equal(state.storeSent(MAX_STORED, 'm'), null);
  assert.equal(state.unstored, 1);
  assert(state.freeSent(0));
  // A stored message behind an unstored one would wait for ever.
  assert.equal(state.storeSent(MAX_STORED + 1, 'm'), null);
  assert.equal(state.freeSent(MAX_STORED), null);
  assert.equal(state.freeSent(MAX_STORED + 1), null);
  assert(state.storeSent(MAX_STORED + 2, 'm'));
  const large = new SessionState(undefined, [], { id: 'x', key: 'y' }, 'n');
  assert(large.storeSent(0, 'm'.repeat(1 << 20)) && large.storeSent(1, new Uint8Array(2 << 20)));
  assert.equal(large.storeSent(2, 'm'), null);
});

test('the names between the client and its modules are not shortened', () => {
  const internal = new Set(readFileSync('scripts/internal.txt', 'utf8').trim().split(/\s+/));
  for (const file of ['session/host.ts', 'stream/session_start.ts']) {
    const source = readFileSync(`src/${file}`, 'utf8');
    const names = [...source.matchAll(/^ {2}(?:readonly )?(\w+)[?(:]/gm)].map(([, name = '']) => name);
    assert(names.length > 5, file);
    assert.deepEqual(names.filter((name) => internal.has(name)), [], file);
  }
});
