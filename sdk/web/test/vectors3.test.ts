/** Test vectors of wire version 3, shared with the Rust crates: proto/vectors3.json. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  FrameSplitter,
  REFUSALS,
  concat,
  decodeFrame3,
  encodeFrames,
  loneSurrogateAt,
  type Frame3,
  type RawFrame,
  type RefusalCode,
} from '../src/frames3.js';
import { formatSack } from '../src/sack.js';
import { Random } from './random.js';

type Part = string | readonly [string, number];
type Hex = string | readonly Part[];

interface Entry {
  readonly name: string;
  readonly hex: Hex;
  readonly decoded: Record<string, unknown>;
  readonly code: RefusalCode;
  readonly max_message?: number;
  readonly frames: readonly Hex[];
  readonly rest?: Hex;
  readonly plain: Hex;
}

interface Vectors {
  readonly [section: string]: readonly Entry[];
}

const text = readFileSync('../../proto/vectors3.json', 'utf8');
const vectors = JSON.parse(text) as Vectors;

function entries(section: string): readonly Entry[] {
  const found = vectors[section] ?? [];
  assert(found.length > 0, section);
  return found;
}

function bytes(hex: Hex): Uint8Array {
  const parts = typeof hex === 'string' ? [hex] : hex;
  return concat(parts.map((part) => (typeof part === 'string' ? digits(part) : repeat(digits(part[0]), part[1]))));
}

function digits(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function repeat(unit: Uint8Array, times: number): Uint8Array {
  return Uint8Array.from({ length: unit.length * times }, (_, index) => unit[index % unit.length] ?? 0);
}

/** Decodes one whole frame. */
function decode(wire: Uint8Array, maxMessage?: number): Frame3 | RefusalCode {
  const splitter = new FrameSplitter(maxMessage);
  const [raw, ...more] = splitter.push(wire);
  if (splitter.refused) return splitter.refused;
  assert(raw && more.length === 0 && splitter.isEmpty);
  return decodeFrame3(raw);
}

/** The form of the vectors: bytes as numbers, SACKs as text. */
function plain(value: Frame3 | RefusalCode): unknown {
  if (typeof value === 'string') return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  const entries = members.map(([key, member]: [string, unknown]) => {
    if (key === 'data') return ['hex', [...(member as Uint8Array)].join()];
    if (key === 'sack') return [key, formatSack(member as never)];
    return [key === 'applicationLevel' ? 'application_level' : key, member];
  });
  return Object.fromEntries(entries);
}

function expected(decoded: Record<string, unknown>): unknown {
  const entries = Object.entries(decoded).map(([key, value]) => {
    if (key === 'hex') return [key, [...bytes(value as Hex)].join()];
    const { rep } = (value ?? {}) as { rep?: [string, number] };
    return [key, rep ? rep[0].repeat(rep[1]) : value];
  });
  return Object.fromEntries(entries);
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

test('vectors3: frames decode and encode', () => {
  for (const { name, hex, decoded } of entries('frames')) {
    const frame = decode(bytes(hex));
    assert.deepEqual(plain(frame), expected(decoded), name);
    assert(typeof frame !== 'string');
    assert(same(encodeFrames([frame]), bytes(hex)), name);
  }
  for (const { name, hex, decoded } of entries('lenient')) {
    assert.deepEqual(plain(decode(bytes(hex))), expected(decoded), name);
  }
});

test('vectors3: invalid frames are refused', () => {
  for (const { name, hex, code, max_message } of entries('refused')) {
    assert.equal(decode(bytes(hex), max_message), code, name);
  }
});

test('vectors3: bytes are cut into frames', () => {
  for (const { name, hex, frames, rest, code, max_message } of entries('cuts')) {
    const wire = bytes(hex);
    for (let seed = 0; seed < 20; seed += 1) {
      const random = new Random(seed);
      const splitter = new FrameSplitter(max_message);
      const cut: RawFrame[] = [];
      for (let at = 0; at < wire.length && !splitter.refused; ) {
        const size = seed === 0 ? wire.length : 1 + random.below(seed < 10 ? 3 : 50_000);
        cut.push(...splitter.push(wire.subarray(at, at + size)));
        at += size;
      }
      const reassembled = cut.map(({ kind, body }) => ({ kind, length: body.length }));
      const wanted = frames.map(bytes).map((frame) => {
        const [raw] = new FrameSplitter().push(frame);
        return { kind: raw?.kind, length: raw?.body.length };
      });
      assert.deepEqual(reassembled, wanted, name);
      assert.equal(splitter.refused, code ?? null, name);
      assert.equal(splitter.isEmpty || code !== undefined, rest === undefined || rest === '', name);
    }
  }
});

test('vectors3: compressed runs are recognised, but not requested', () => {
  for (const { name, hex } of [...entries('compressed'), ...entries('compressed_refused')]) {
    const frame = decode(bytes(hex));
    assert(typeof frame !== 'string' && frame.type === 'compressed', name);
  }
});

test('vectors3: the table of refusals', () => {
  const table = Object.entries(REFUSALS).map(([code, [status, action, ends]]) => ({
    code,
    status,
    do: action,
    ends_when_repeated: ends,
    close_code: 4000 + status,
  }));
  assert.deepEqual(table, entries('refusal_codes'));
});

test('vectors3: an answer of version 2 is no frame', () => {
  for (const { hex, name } of entries('version2_answers')) {
    const splitter = new FrameSplitter();
    splitter.push(bytes(hex).subarray(0, 1));
    assert.equal(splitter.refused, 'frame', name);
  }
});

test('vectors3: the hash of a key', async () => {
  for (const { key, hash } of entries('key_hashes') as unknown as { key: string; hash: string }[]) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key)));
    assert.equal([...digest.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join(''), hash);
  }
});

test('frames3: every scalar value round-trips', () => {
  for (let first = 0; first < 0x110000; first += 0x800) {
    if (first === 0xd800) continue;
    const text = Array.from({ length: 0x800 }, (_, index) => String.fromCodePoint(first + index)).join('');
    assert.deepEqual(decode(encodeFrames([{ type: 'text', text }])), { type: 'text', text });
  }
});

test('frames3: a lone surrogate is found', () => {
  assert.equal(loneSurrogateAt('a\ud83d\ude00b'), -1);
  assert.equal(loneSurrogateAt('ab\ud83d'), 2);
  assert.equal(loneSurrogateAt('\ude00\ud83d'), 0);
});

test('frames3: a binary message does not keep the received batch', () => {
  const data = Uint8Array.of(1, 2, 3);
  const frame = decode(encodeFrames([{ type: 'binary', data }]));
  assert(typeof frame !== 'string' && frame.type === 'binary');
  assert.equal(frame.data.buffer.byteLength, 3);
});

test('frames3: random frames round-trip in random pieces', () => {
  for (let seed = 0; seed < 300; seed += 1) {
    const random = new Random(seed);
    const frames: Frame3[] = Array.from({ length: random.below(20) }, () => {
      const length = random.below(random.chance(0.1) ? 20_000 : 140);
      const data = Uint8Array.from({ length }, () => random.below(256));
      return random.chance(0.5) ? { type: 'binary', data } : { type: 'seqnum', number: random.below(2 ** 31) };
    });
    const wire = encodeFrames(frames);
    const splitter = new FrameSplitter();
    const received: unknown[] = [];
    for (let at = 0; at < wire.length; ) {
      const end = at + 1 + random.below(random.chance(0.5) ? 5 : 5_000);
      received.push(...splitter.push(wire.subarray(at, end)).map((raw) => plain(decodeFrame3(raw))));
      at = end;
    }
    assert.deepEqual(received, frames.map(plain), `seed ${seed}`);
    assert(splitter.isEmpty && splitter.refused === null, `seed ${seed}`);
  }
});
