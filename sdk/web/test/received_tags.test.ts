/** Claim tags of received messages: conflicts, runs and the pairs of a report. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { MAX_PAIRS, ReceivedTags } from '../src/stream/received_tags.js';
import { Random } from './random.js';

const A = 'a'.repeat(16);
const B = 'b'.repeat(16);
const UNKNOWN = '0'.repeat(16);

test('a message keeps its tag, and another tag is a conflict', () => {
  const tags = new ReceivedTags();
  for (const number of [0, 1, 2]) assert(tags.add(number, A));
  assert(tags.add(3, B));
  for (const number of [0, 1, 2]) assert(tags.add(number, A) && !tags.add(number, B), `${number}`);
  assert(tags.add(3, B) && !tags.add(3, A));
});

test('pairs begin with the one that covers the acknowledged number, and gaps have no tag', () => {
  const tags = new ReceivedTags();
  assert.deepEqual(tags.pairs(-1), []);
  for (const number of [0, 1, 2]) tags.add(number, A);
  tags.add(5, B);
  assert.deepEqual(tags.pairs(2), [`0 ${A}`, `3 ${UNKNOWN}`, `5 ${B}`]);
  tags.add(3, A);
  tags.add(4, B);
  assert.deepEqual(tags.pairs(3), [`0 ${A}`, `4 ${B}`]);
  assert.deepEqual(tags.pairs(5), [`4 ${B}`]);
});

test('a report has at most 16 pairs, the last one without a tag if some are omitted', () => {
  for (const count of [MAX_PAIRS - 1, MAX_PAIRS, MAX_PAIRS + 1]) {
    const tags = new ReceivedTags();
    for (let number = 0; number < count; number += 1) tags.add(number, number % 2 ? A : B);
    const pairs = tags.pairs(0);
    assert.equal(pairs.length, Math.min(count, MAX_PAIRS));
    assert.equal(pairs.at(-1)?.endsWith(UNKNOWN), count > MAX_PAIRS, `${count}`);
  }
});

test('any order of arrival gives the pairs of the complete history', () => {
  for (let seed = 0; seed < 200; seed += 1) {
    const random = new Random(seed);
    const all = Array.from({ length: 30 }, (_, number) => (number < 11 ? A : B));
    const tags = new ReceivedTags();
    const order = all.map((_, number) => number);
    for (let at = order.length - 1; at > 0; at -= 1) {
      const other = random.below(at + 1);
      [order[at], order[other]] = [order[other] ?? 0, order[at] ?? 0];
    }
    for (const number of order) assert(tags.add(number, all[number] ?? ''));
    assert.deepEqual(tags.pairs(0), [`0 ${A}`, `11 ${B}`], `seed ${seed}`);
  }
});
