/** Start of a generation in the stream machine: keys of the hello, numbers after the answer. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { StreamMachine } from '../src/stream.js';
import type { Output } from '../src/stream/types.js';

const ID = 'd1c7v0q8k2m5x9w3b6n4r7t0az';
const BORN = '2251799813685249.00000007b0d88862';

function machine(): StreamMachine {
  const restored = [[3, 'three'], [4, 'four']] as const;
  const session = { generation: 1, next: 'c0tQbm9yVGl4dXl6QWJjRA', born: BORN, rewind: 'all', own: 5, restored } as const;
  return new StreamMachine({ id: ID, resumeKey: 'Zk1uQ0pXc3VqV2h5dEJtRQ', version: 3, kind: 'http-stream', random: () => 0.5, session });
}

function opened(outputs: readonly Output[]): Output & { do: 'open' } {
  const output = outputs.find((each) => each.do === 'open');
  assert(output?.do === 'open');
  return output;
}

/** Keys of the hello that concern generations. */
function hello(frames: readonly unknown[]): Record<string, unknown> {
  const text = String(frames[0]);
  assert(text.endsWith('H'));
  const { tnum, key, next, gen, rew, own, born, sack, seenack, new: isNew } = JSON.parse(text.slice(0, -1)) as Record<string, unknown>;
  return { tnum, key, next, gen, rew, own, born, sack, seenack, isNew };
}

test('the first hello adopts the stream, and restored messages keep their numbers', () => {
  const stream = machine();
  const { key, frames } = opened(stream.drain(0));
  assert.deepEqual(hello(frames), {
    tnum: 2 ** 32,
    key: 'Zk1uQ0pXc3VqV2h5dEJtRQ',
    next: 'c0tQbm9yVGl4dXl6QWJjRA',
    gen: 1,
    rew: 'all',
    own: 5,
    born: BORN,
    sack: undefined,
    seenack: '|-1',
    isNew: undefined,
  });
  assert.deepEqual(frames.slice(1), ['3N', 'three ', 'four ']);
  // Without an answer the next transport repeats the adoption.
  stream.onClosed(key, 'failed', 100);
  const again = opened(stream.drain(10_000));
  assert.deepEqual(hello(again.frames), { ...hello(frames), tnum: 2 ** 32 + 1 });
  stream.recvFrames(again.key, [{ type: 'welcome', max: 1 << 20, from: 10, own: 7 }, { type: 'sack', sack: { acked: 6, beyond: [] } }], 10_001);
  const outputs = stream.drain(10_001);
  assert.deepEqual(outputs.filter((output) => output.do === 'welcome'), [{ do: 'welcome', born: BORN, from: 10, own: 7 }]);
  assert.deepEqual(outputs.filter((output) => output.do === 'acked').map((output) => output.do === 'acked' && output.number), [3, 4]);
  assert.equal(stream.send('seven'), 7);
  const message = { type: 'text', text: 'ten' } as const;
  stream.recvFrames(again.key, [{ type: 'seqnum', number: 10 }, message], 10_002);
  const delivered = stream.drain(10_002).find((output) => output.do === 'deliver');
  assert.deepEqual(delivered, { do: 'deliver', message: 'ten', number: 10 });
  // Later transports have the new key and the SACK, and a second answer changes nothing.
  stream.onClosed(again.key, 'failed', 20_000);
  const later = opened(stream.drain(30_000));
  assert.deepEqual(hello(later.frames), {
    // An upload of the message 7 was between.
    ...{ tnum: 2 ** 32 + 3, key: 'c0tQbm9yVGl4dXl6QWJjRA', next: undefined, gen: 1, rew: undefined, own: undefined, born: BORN },
    ...{ sack: '|10', seenack: '|6', isNew: undefined },
  });
  stream.recvFrames(later.key, [{ type: 'welcome', from: 11, own: 9 }, { type: 'seqnum', number: 11 }, message], 30_001);
  const last = stream.drain(30_001);
  assert(!last.some((output) => output.do === 'welcome'));
  assert.deepEqual(last.find((output) => output.do === 'deliver'), { do: 'deliver', message: 'ten', number: 11 });
  assert.equal(stream.send('eight'), 8);
});

test('before the first message the SACK ends below the first one', () => {
  const stream = machine();
  const { key } = opened(stream.drain(0));
  stream.recvFrames(key, [{ type: 'welcome', from: 10, own: 5 }], 1);
  stream.onClosed(key, 'failed', 2);
  assert.equal(hello(opened(stream.drain(10_000)).frames)['sack'], '|9');
});

test('a refusal of the adoption ends the stream', () => {
  for (const code of ['gone', 'superseded']) {
    const stream = machine();
    const { key } = opened(stream.drain(0));
    stream.recvFrames(key, [{ type: 'refusal', status: 410, code, title: '', do: 'end' }], 1);
    const end = stream.drain(1).find((output) => output.do === 'end');
    assert(end?.do === 'end' && end.end.reason === code);
  }
});
