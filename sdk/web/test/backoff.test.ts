/** Back-off delays. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { backoff, MAX_DELAY, MIN_DELAY } from '../src/backoff.js';

test('back-off: full jitter between the minimum delay and a ceiling that doubles up to the maximum', () => {
  const almostOne = 1 - 2 ** -32;
  for (let attempt = 0; attempt < 2000; attempt += 1) {
    assert.equal(backoff(attempt, 0), MIN_DELAY);
    assert(backoff(attempt, almostOne) <= MAX_DELAY);
    assert(backoff(attempt, almostOne) >= backoff(Math.max(0, attempt - 1), almostOne));
  }
  assert.equal(Math.round(backoff(0, almostOne)), 200);
  assert.equal(Math.round(backoff(1, almostOne)), 400);
  assert.equal(Math.round(backoff(50, almostOne)), MAX_DELAY);
});
