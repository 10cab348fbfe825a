/** Test vectors shared with the Rust crates: proto/vectors/frames.json. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { decodeFrame, encodeFrame } from '../src/frames.js';
import { joinLines, Lines } from '../src/framing.js';
import { formatSack, parseSack, type Sack } from '../src/sack.js';
import { ReceiveWindow } from '../src/window/receive_window.js';
import { SendQueue } from '../src/window/send_queue.js';
import { Random } from './random.js';

type Text = string | { rep: [string, number] };

interface Vectors {
  frames: { name: string; bytes: Text; decoded: Record<string, unknown> }[];
  invalid: { name: string; bytes: Text }[];
  cuts: {
    name: string;
    framing: string;
    max_frame: number;
    bytes: Text;
    frames: Text[];
    rest: Text | null;
    corrupt: boolean;
  }[];
  send_queue: { name: string; start: number; steps: Record<string, unknown>[] }[];
  receive_window: { name: string; start: number; limits: [number, number]; steps: Record<string, unknown>[] }[];
}

const vectors = JSON.parse(readFileSync('../../proto/vectors/frames.json', 'utf8')) as Vectors;

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  const { rep } = value as { rep: [string, number] };
  return rep[0].repeat(rep[1]);
}

/** Frame types whose names differ between the vectors and TypeScript. */
const TYPES: Record<string, string> = {
  stream_status: 'status',
  stream_created: 'created',
  transport_kill: 'kill',
};

function expected(decoded: Record<string, unknown>): Record<string, unknown> {
  const frame: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(decoded)) {
    if (key === 'type') frame['type'] = TYPES[String(value)] ?? value;
    else if (key === 'string') frame['text'] = text(value);
    else if (key === 'application_level') frame['applicationLevel'] = value;
    else frame[key] = value;
  }
  return frame;
}

test('vectors: every section has entries', () => {
  assert(vectors.frames.length > 20 && vectors.invalid.length > 20 && vectors.cuts.length > 10);
  assert(vectors.send_queue.length > 4 && vectors.receive_window.length > 4);
});

for (const vector of vectors.frames) {
  test(`vectors: frame ${vector.name}`, () => {
    const frame = decodeFrame(text(vector.bytes));
    assert.deepEqual(frame, expected(vector.decoded));
    assert(frame);
    assert.equal(encodeFrame(frame), text(vector.bytes));
  });
}

for (const vector of vectors.invalid) {
  test(`vectors: invalid ${vector.name}`, () => {
    assert.equal(decodeFrame(text(vector.bytes)), null);
  });
}

for (const vector of vectors.cuts.filter((cut) => cut.framing === 'lines')) {
  test(`vectors: cut ${vector.name}`, () => {
    const bytes = text(vector.bytes);
    for (let seed = 0; seed < 20; seed += 1) {
      const random = new Random(seed);
      const lines = new Lines(vector.max_frame);
      const frames: string[] = [];
      for (let at = 0; at < bytes.length && !lines.corrupt; ) {
        const size = seed === 0 ? bytes.length : 1 + random.below(3);
        frames.push(...lines.push(bytes.slice(at, at + size)));
        at += size;
      }
      assert.deepEqual(frames, vector.frames.map(text));
      assert.equal(lines.corrupt, vector.corrupt);
      // The rest is the start of the next frame.
      if (vector.rest !== null) assert.deepEqual(lines.push('\n'), [text(vector.rest).replace(/\r$/, '')]);
    }
  });
}

test('vectors: joined frames are split into the same frames', () => {
  const frames = vectors.frames.map((vector) => text(vector.bytes));
  assert.deepEqual(new Lines().push(joinLines(frames)), frames);
});

function sackOf(value: unknown): Sack {
  const sack = parseSack(String(value));
  assert(sack);
  return sack;
}

for (const { name, start, steps } of vectors.send_queue) {
  test(`vectors: send queue ${name}`, () => {
    const queue = new SendQueue(start);
    for (const step of steps) {
      if ('push' in step) {
        assert.equal(queue.push(text(step['push'])), step['expect']);
      } else if ('unacked' in step) {
        assert.deepEqual([...queue.iterFrom(Number(step['unacked']))], step['expect']);
      } else if ('sack' in step) {
        const { base, bytes } = queue;
        const freed: number[] = [];
        const applied = queue.apply(sackOf(step['sack']), (_, length) => freed.push(length));
        assert.equal(applied, !('error' in step));
        assert.deepEqual([queue.base - base, bytes - queue.bytes], step['freed'] ?? [0, 0]);
        assert.equal(freed.reduce((sum, length) => sum + length, 0), bytes - queue.bytes);
      } else {
        const { bytes, length: len, next, base } = queue;
        assert.deepEqual({ bytes, len, next, base }, step);
      }
    }
  });
}

for (const { name, start, limits, steps } of vectors.receive_window) {
  test(`vectors: receive window ${name}`, () => {
    const window = new ReceiveWindow({ messages: limits[0], bytes: limits[1] }, start);
    let popped = start;
    for (const step of steps) {
      if ('receive' in step) {
        assert.equal(window.receive(Number(step['receive']), text(step['string'])), step['expect']);
      } else if ('pop' in step) {
        const pop = step['pop'] as [number, unknown] | null;
        assert.equal(window.pop(), pop ? text(pop[1]) : undefined);
        if (pop) assert.equal(popped++, pop[0]);
      } else if ('sack' in step) {
        assert.equal(formatSack(window.sack()), step['sack']);
      } else {
        assert('next' in step, `unknown step ${JSON.stringify(step)}`);
        assert.equal(window.sack().acked + 1, step['next']);
      }
    }
  });
}
