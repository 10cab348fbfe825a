/** Send queue and receive window: corner cases, and random schedules against plain models. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { ReceiveWindow, OVERHEAD } from '../src/window/receive_window.js';
import { SendQueue } from '../src/window/send_queue.js';
import { Random } from './random.js';

const LIMITS = { messages: 50, bytes: 1 << 20 };

/** Applies a SACK; returns the advance of the base and the freed bytes, null for a SACK of unsent messages. */
function apply(queue: SendQueue, acked: number, beyond: number[]): [number, number] | null {
  const { base, bytes } = queue;
  let freed = 0;
  if (!queue.apply({ acked, beyond }, (_, length) => (freed += length))) return null;
  assert.equal(bytes - queue.bytes, freed);
  return [queue.base - base, freed];
}

function popAll(window: ReceiveWindow): string[] {
  const all: string[] = [];
  for (let next = window.pop(); next !== undefined; next = window.pop()) all.push(String(next));
  return all;
}

test('send queue: numbers, cumulative and selective acknowledgements', () => {
  const queue = new SendQueue();
  for (const text of ['a', 'bb', 'ccc', 'dddd']) queue.push(text);
  assert.equal(queue.bytes, 10);
  assert.deepEqual(apply(queue, 0, [2]), [1, 4]);
  assert.deepEqual([...queue.iterFrom(0)], [[1, 'bb'], [3, 'dddd']]);
  assert.deepEqual(queue.sack(), { acked: 0, beyond: [2] });
  assert.deepEqual(apply(queue, 0, [2]), [0, 0]);
  assert.deepEqual(apply(queue, 3, []), [3, 6]);
  assert.equal(queue.push('e'), 4);
  assert.deepEqual(queue.sack(), { acked: 3, beyond: [] });
});

test('send queue: a SACK of unsent messages changes nothing', () => {
  const queue = new SendQueue();
  queue.push('a');
  assert.equal(apply(queue, 1, []), null);
  assert.equal(apply(queue, 0, [1]), null);
  assert.equal(queue.length, 1);
  assert.equal(queue.base, 0);
});

test('send queue: an old SACK changes nothing', () => {
  const queue = new SendQueue();
  for (let i = 0; i < 5; i += 1) queue.push(String(i));
  apply(queue, 3, []);
  assert.deepEqual(apply(queue, 1, [2]), [0, 0]);
  assert.equal(queue.base, 4);
});

test('send queue: random schedules against a map', () => {
  for (let seed = 0; seed < 100; seed += 1) {
    const random = new Random(seed);
    const queue = new SendQueue();
    const model = new Map<number, string>();
    let acked = -1;
    for (let step = 0; step < 200; step += 1) {
      if (random.chance(0.5)) {
        const text = 'x'.repeat(random.below(9));
        model.set(queue.next, text);
        queue.push(text);
      } else {
        const sack = {
          acked: random.below(queue.next + 1) - 1,
          beyond: queue.next === 0 ? [] : [random.below(queue.next)],
        };
        const freed = new Set<number>();
        assert(queue.apply(sack, (number) => freed.add(number)));
        acked = Math.max(acked, sack.acked);
        for (const number of [...model.keys()]) {
          if (number > acked && !sack.beyond.includes(number)) continue;
          assert(freed.delete(number), `seed ${seed}: ${number} not freed`);
          model.delete(number);
        }
        assert.equal(freed.size, 0, `seed ${seed}: freed twice`);
      }
      assert.deepEqual([...queue.iterFrom(0)], [...model]);
      assert.equal(queue.length === 0, model.size === 0);
      assert.equal(queue.bytes, [...model.values()].join('').length);
      assert.equal(queue.base, model.size === 0 ? queue.next : Math.min(...model.keys()));
    }
  }
});

test('receive window: in order, out of order, duplicates', () => {
  const window = new ReceiveWindow(LIMITS);
  assert.equal(window.hasGap, false);
  assert.equal(window.receive(1, 'b'), 'waiting');
  assert.equal(window.hasGap, true);
  assert.equal(window.receive(1, 'b'), 'duplicate');
  assert.deepEqual(window.sack(), { acked: -1, beyond: [1] });
  assert.equal(window.receive(0, 'a'), 'deliverable');
  assert.equal(window.hasGap, false);
  assert.deepEqual(window.sack(), { acked: 1, beyond: [] });
  assert.deepEqual(popAll(window), ['a', 'b']);
  assert.equal(window.receive(0, 'a'), 'duplicate');
  assert.deepEqual(popAll(window), []);
});

test('receive window: the limit of messages', () => {
  const window = new ReceiveWindow(LIMITS);
  for (let number = 1; number <= 50; number += 1) assert.equal(window.receive(number, ''), 'waiting');
  assert.equal(window.receive(51, ''), 'overflow');
  assert.equal(window.receive(50, ''), 'duplicate');
  assert.equal(window.receive(0, ''), 'deliverable');
  assert.equal(popAll(window).length, 51);
});

test('receive window: the limit of bytes', () => {
  const room = (1 << 20) - OVERHEAD;
  for (const [length, expected] of [[room - 1, 'waiting'], [room, 'waiting'], [room + 1, 'overflow']] as const) {
    assert.equal(new ReceiveWindow(LIMITS).receive(1, 'x'.repeat(length)), expected);
  }
  const window = new ReceiveWindow(LIMITS);
  assert.equal(window.receive(1, 'x'.repeat(room)), 'waiting');
  assert.equal(window.receive(0, 'x'.repeat(room)), 'deliverable');
  assert.equal(window.receive(3, 'x'.repeat(room)), 'waiting');
});

test('receive window: any order of arrival gives the same order of delivery', () => {
  for (let seed = 0; seed < 100; seed += 1) {
    const random = new Random(seed);
    const window = new ReceiveWindow(LIMITS);
    const out: string[] = [];
    for (let next = 0; next < 200; next = window.sack().acked + 1) {
      const number = Math.max(0, next - 5) + random.below(20);
      window.receive(number, `s${number}`);
      if (random.chance(0.3)) out.push(...popAll(window));
    }
    out.push(...popAll(window));
    assert.deepEqual(out, out.map((_, i) => `s${i}`));
    assert(out.length >= 200);
  }
});
