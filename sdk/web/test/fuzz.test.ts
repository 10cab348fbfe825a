/**
 * Mutated inputs for the parsers of received text: framing, frames, SACKs, QAN messages. Nothing may throw, accepted
 * texts are canonical, and the size of the reads has no effect. SCHEDULES sets the number of inputs; the seed of a
 * failing input is printed.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { MAX_REASON, decodeFrame, encodeFrame, isMessageAllowed } from '../src/frames.js';
import { Lines } from '../src/framing.js';
import { Qan } from '../src/qan.js';
import { MAX_BEYOND, formatSack, parseSack } from '../src/sack.js';
import { Random } from './random.js';

const INPUTS = 5 * Number(process.env['SCHEDULES'] ?? 1_500);
/** Characters with a meaning to some parser, and a few without. */
const ALPHABET = ' |,-0123456789ACEHKNQTUYZaz!#^\r\n\0\x7f\u00e9\ud83d\ude00';

const FRAMES = ['hello ', '42N', '12,14|10A', '|-1T', 'C', 'Y', 'beat^', 'no | more|1!', 'rwin_overflowK', '{"ver":2}H'];
const SACKS = ['|-1', '|0', '12,14|10', '9007199254740992|9007199254740991', Array(MAX_BEYOND).fill('7').join(',') + '|0'];
const QANS = ['body|1Q', 'a|b|1K', '|2E', 'x|1U', '1C', 'note#', 'b|9007199254740992Q'];

/** Applies one to four random edits to a seed, or joins two seeds. */
function mutate(seeds: readonly string[], random: Random): string {
  let text = pick(seeds, random);
  for (let edits = 1 + random.below(4); edits > 0; edits -= 1) {
    const at = random.below(text.length + 1);
    const end = at + random.below(4);
    const inserted = random.chance(0.1) ? pick(seeds, random) : random.chance(0.7) ? pick(ALPHABET, random) : '';
    text = text.slice(0, at) + inserted + text.slice(end);
  }
  return text;
}

function pick(from: string | readonly string[], random: Random): string {
  return from[random.below(from.length)] ?? '';
}

function forInputs(seeds: readonly string[], check: (text: string, random: Random) => void): void {
  for (let seed = 0; seed < INPUTS; seed += 1) {
    const random = new Random(seed);
    const text = mutate(seeds, random);
    try {
      check(text, random);
    } catch (error) {
      throw new Error(`seed ${seed}, input ${JSON.stringify(text)}`, { cause: error });
    }
  }
}

/** Feeds text to the framing in pieces of one size. */
function split(text: string, longest: number, piece: number): { frames: string[]; corrupt: boolean } {
  const lines = new Lines(longest);
  const frames: string[] = [];
  for (let at = 0; at < text.length && !lines.corrupt; at += piece) frames.push(...lines.push(text.slice(at, at + piece)));
  return { frames, corrupt: lines.corrupt };
}

/** Reference for valid QAN messages. */
function isQan(text: string): boolean {
  if (text.endsWith('#')) return true;
  const [, digits] = /^(?:[^]*\|(\d+)[QKEU])$/.exec(text) ?? /^(\d+)C$/.exec(text) ?? [];
  return digits !== undefined && String(BigInt(digits)) === digits && BigInt(digits) <= 2n ** 53n;
}

test('an accepted frame is canonical', () => {
  for (const text of FRAMES) assert.equal(decodeFrame(text) !== null, true, text);
  forInputs(FRAMES, (text) => {
    const frame = decodeFrame(text);
    if (frame) assert.equal(encodeFrame(frame), text);
  });
});

test('a reset with any allowed reason survives a round trip', () => {
  forInputs(FRAMES, (reason) => {
    const reset = { type: 'reset', reason, applicationLevel: true } as const;
    const expected = isMessageAllowed(reason) && reason.length <= MAX_REASON ? reset : null;
    assert.deepEqual(decodeFrame(encodeFrame(reset)), expected);
  });
});

test('an accepted SACK is canonical and bounded', () => {
  forInputs(SACKS, (text) => {
    const sack = parseSack(text);
    if (!sack) return;
    assert.equal(formatSack(sack), text);
    assert.equal(sack.beyond.length <= MAX_BEYOND, true);
  });
});

test('the size of the reads does not change the frames', () => {
  const seeds = [`${FRAMES.join('\n')}\n`, FRAMES.map((frame) => `${frame}\r\n`).join('')];
  forInputs(seeds, (text, random) => {
    const longest = random.below(40);
    const whole = split(text, longest, text.length + 1);
    assert.deepEqual(split(text, longest, 1 + random.below(7)), whole);
    assert.equal(whole.frames.every((frame) => frame.length <= longest), true);
  });
});

test('any QAN message is handled or resets the stream once', () => {
  forInputs(QANS, (text) => {
    const sent: unknown[] = [];
    const failures: string[] = [];
    const qan = new Qan(async (message) => void sent.push(message), (reason) => failures.push(reason));
    void qan.ask('question').catch(() => {});
    qan.recv(text);
    assert.equal(failures.length <= 1, true);
    assert.equal(sent[0], 'question|1Q');
    assert.equal(sent.length <= 2 && failures.every((reason) => reason.length <= 60), true);
    assert.equal(failures[0] === 'bad QAN frame', !isQan(text));
    qan.end(new Error('over'));
  });
});
