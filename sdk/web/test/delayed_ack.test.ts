/** Delayed ACK: the rule alone, then in the stream machine frame by frame and over random schedules. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { StreamMachine } from '../src/stream.js';
import {
  DelayedAck,
  MAX_ACK_DELAY,
  MAX_DELAYED_BYTES,
  MAX_DELAYED_MESSAGES,
  MAX_HTTP_ACK_DELAY,
  MAX_IMMEDIATE_ACKS,
} from '../src/stream/delayed_ack.js';
import type { Kind, Output } from '../src/stream/types.js';
import { Random } from './random.js';
import { assertExactlyOnce, ID, settled, Simulation } from './simulation.js';

/** Receives messages at these offsets in ms from `now`, and sends the SACK at the end of the delay. */
function fullDelay(delayedAck: DelayedAck, now: number, offsets = [0]): void {
  for (const offset of offsets) delayedAck.onReceived(1, now + offset);
  assert.equal(delayedAck.dueAt, now + MAX_ACK_DELAY);
  delayedAck.onSackSent(delayedAck.dueAt);
}

/** Returns the number of messages that are acknowledged at once now. */
function countImmediate(delayedAck: DelayedAck, now: number): number {
  for (let count = 0; ; count += 1) {
    delayedAck.onReceived(1, now);
    const { dueAt } = delayedAck;
    // A piggybacked SACK does not rate the delay.
    delayedAck.onSackSent(0);
    if (dueAt !== 0) return count;
    assert(count < 1000, 'without end');
  }
}

test('delayed ACK: 16 messages or 16 KiB are acknowledged at once', () => {
  assert.deepEqual([MAX_DELAYED_MESSAGES, MAX_DELAYED_BYTES], [16, 16_384]);
  for (const [count, dueAt] of [[15, 103], [16, 0], [17, 0]] as const) {
    const delayedAck = new DelayedAck();
    for (let i = 0; i < count; i += 1) delayedAck.onReceived(9, 3 + i);
    assert.equal(delayedAck.dueAt, dueAt, `${count} messages`);
  }
  for (const [bytes, dueAt] of [[16_383, 103], [16_384, 0], [16_385, 0]] as const) {
    const delayedAck = new DelayedAck();
    delayedAck.onReceived(1000, 3);
    delayedAck.onReceived(bytes - 1000, 7);
    assert.equal(delayedAck.dueAt, dueAt, `${bytes} bytes`);
    const other = new DelayedAck();
    other.onReceived(bytes, 3);
    assert.equal(other.dueAt, dueAt, `${bytes} bytes in one message`);
  }
});

test('delayed ACK: each SACK resets the counts', () => {
  const delayedAck = new DelayedAck();
  for (let round = 0; round < 20; round += 1) {
    for (let i = 0; i < 15; i += 1) delayedAck.onReceived(1092, round * 10);
    assert.equal(delayedAck.dueAt, round * 10 + MAX_ACK_DELAY);
    delayedAck.onSackSent(round * 10 + 1);
    assert.equal(delayedAck.dueAt, Infinity);
  }
});

test('delayed ACK: a delay without a message in its last 75 ms is useless', () => {
  for (const [offsets, count] of [
    [[0], 1],
    [[0, 24], 1],
    [[0, 25], 0],
    [[0, 26], 0],
    [[0, 99], 0],
    [[0, 100], 0],
    [[0, 101], 1],
  ] as const) {
    const delayedAck = new DelayedAck();
    fullDelay(delayedAck, 5, [...offsets]);
    assert.equal(countImmediate(delayedAck, 1000), count, offsets.join());
  }
});

test('delayed ACK: useless delays double the immediate SACKs up to 64, and a useful delay resets them', () => {
  assert.equal(MAX_IMMEDIATE_ACKS, 64);
  const delayedAck = new DelayedAck();
  let now = 0;
  for (const count of [1, 2, 4, 8, 16, 32, 64, 64, 64]) {
    fullDelay(delayedAck, (now += 1000));
    assert.equal(countImmediate(delayedAck, now + MAX_ACK_DELAY), count);
  }
  fullDelay(delayedAck, (now += 1000), [0, 60]);
  assert.equal(countImmediate(delayedAck, now + MAX_ACK_DELAY), 0);
  fullDelay(delayedAck, (now += 1000));
  assert.equal(countImmediate(delayedAck, now + MAX_ACK_DELAY), 1);
});

test('delayed ACK: a shortened delay is not rated', () => {
  const delayedAck = new DelayedAck();
  fullDelay(delayedAck, 0);
  assert.equal(countImmediate(delayedAck, 200), 1);
  const cuts = [
    () => delayedAck.onSackSent(1099),
    () => {
      for (let i = 1; i < MAX_DELAYED_MESSAGES; i += 1) delayedAck.onReceived(1, 1000);
      delayedAck.onSackSent(2000);
    },
    () => {
      delayedAck.dueAt = 0;
      delayedAck.onSackSent(2000);
    },
  ];
  for (const cut of cuts) {
    delayedAck.onReceived(1, 1000);
    cut();
    assert.equal(countImmediate(delayedAck, 3000), 0);
  }
  fullDelay(delayedAck, 4000);
  assert.equal(countImmediate(delayedAck, 5000), 2, 'as after the second useless delay');
});

// In the stream machine.

/** Returns a stream with an attached transport. */
function attached(kind: Kind = 'websocket'): StreamMachine {
  const stream = new StreamMachine({ id: ID, kind, random: () => 0.5 });
  start(stream, 0);
  stream.recvFrames(0, kind === 'websocket' ? ['C', 'beat^'] : [';)]}^', 'C', 'beat^'], 1);
  assert.deepEqual(written(stream, 1), []);
  return stream;
}

/** Drains outputs and opens requested WebSockets. */
function start(stream: StreamMachine, now: number): Output[] {
  const outputs = stream.drain(now);
  for (const output of outputs) {
    if (output.do === 'open' && output.kind === 'websocket') stream.onOpened(output.key, now);
  }
  return [...outputs, ...stream.drain(now)];
}

function written(stream: StreamMachine, now: number): string[] {
  return start(stream, now).flatMap((output) => ('frames' in output ? output.frames.map(String) : []));
}

/** Receives frames and returns the frames written in response. */
function receive(stream: StreamMachine, key: number, now: number, ...frames: string[]): string[] {
  stream.recvFrames(key, frames, now);
  return written(stream, now);
}

test('a SACK is delayed by 100 ms, and the timer is set accordingly', () => {
  for (const [at, sacks] of [[99, []], [100, ['|1A']], [101, ['|1A']]] as const) {
    const stream = attached();
    assert.deepEqual(receive(stream, 0, 1000, '0N', 'a '), []);
    assert.deepEqual(receive(stream, 0, 1040, 'b '), []);
    assert.equal(stream.pollTimeout(), 1100);
    assert.deepEqual(written(stream, 1000 + at), sacks, `${at} ms`);
    assert.deepEqual(written(stream, 1300), sacks.length > 0 ? [] : ['|1A']);
    assert((stream.pollTimeout() ?? 0) > 10_000, 'no SACK is due');
  }
});

test('the limits of the delay: 15, 16, 17 messages; 16 KiB less one, 16 KiB, and one more', () => {
  for (const count of [15, 16, 17]) {
    const frames = receive(attached(), 0, 10, '0N', ...Array.from({ length: count }, () => 'x '));
    assert.deepEqual(frames, count < 16 ? [] : [`|${count - 1}A`]);
  }
  for (const bytes of [16_383, 16_384, 16_385]) {
    const stream = attached();
    assert.deepEqual(receive(stream, 0, 10, '0N', `${'x'.repeat(8000)} `), []);
    assert.deepEqual(receive(stream, 0, 11, `${'y'.repeat(bytes - 8000)} `), bytes < 16_384 ? [] : ['|1A']);
  }
});

test('a SACK is piggybacked in front of outgoing messages', () => {
  const stream = attached();
  assert.deepEqual(receive(stream, 0, 10, '0N', 'a '), []);
  stream.send('mine');
  assert.deepEqual(written(stream, 11), ['|0A', '0N', 'mine ']);
  stream.send('another');
  assert.deepEqual(written(stream, 12), ['another ']);
  assert.deepEqual(written(stream, 10 + MAX_ACK_DELAY), []);
});

test('the heartbeat carries the current SACK', () => {
  const stream = attached();
  stream.send('x');
  written(stream, 1000);
  stream.recvFrames(0, ['|0A'], 20_990);
  assert.deepEqual(receive(stream, 0, 20_990, '0N', 'a '), []);
  assert.deepEqual(written(stream, 21_000), ['|0A']);
  assert.deepEqual(written(stream, 21_000 + MAX_ACK_DELAY), []);
});

test('a gap, its end and a duplicate are acknowledged at once', () => {
  const stream = attached();
  assert.deepEqual(receive(stream, 0, 10, '0N', 'a '), []);
  assert.deepEqual(receive(stream, 0, 11, '2N', 'c '), ['2|0A']);
  assert.deepEqual(receive(stream, 0, 12, '4N', 'e '), ['2,4|0A']);
  assert.deepEqual(receive(stream, 0, 13, '1N', 'b '), ['4|2A'], 'a gap remains');
  assert.deepEqual(receive(stream, 0, 14, '3N', 'd '), ['|4A']);
  assert.deepEqual(receive(stream, 0, 15, '3N', 'd '), ['|4A']);
  assert.deepEqual(receive(stream, 0, 16, '5N', 'f '), []);
  assert.deepEqual(written(stream, 115), []);
  assert.deepEqual(written(stream, 116), ['|5A']);
});

test('on resume, messages held back by a slow application are acknowledged at once', () => {
  const stream = attached();
  assert.deepEqual(receive(stream, 0, 1, '0N', 'a '), []);
  stream.setPaused(true);
  assert.deepEqual(receive(stream, 0, 2, 'b '), []);
  stream.setPaused(false);
  assert.deepEqual(written(stream, 3), ['|1A'], 'before the end of the delay');
  assert.deepEqual(written(stream, 10 + MAX_ACK_DELAY), []);
});

test('while paused, the end of the delay sends no SACK', () => {
  const stream = attached();
  assert.deepEqual(receive(stream, 0, 10, '0N', 'a '), []);
  stream.setPaused(true);
  assert.deepEqual(receive(stream, 0, 20, 'b '), []);
  for (const now of [109, 110, 120, 500]) assert.deepEqual(written(stream, now), [], `${now}`);
  assert((stream.pollTimeout() ?? 0) > 10_000, 'no timer is set');
  stream.setPaused(false);
  assert.deepEqual(written(stream, 501), ['|1A']);
});

test('on resume, messages left out of a hello are acknowledged at once', () => {
  const stream = attached();
  stream.setPaused(true);
  assert.deepEqual(receive(stream, 0, 10, '0N', 'a '), []);
  stream.cut(20);
  assert(written(stream, 1000)[0]?.includes('"sack":"|-1"'));
  assert.deepEqual(receive(stream, 1, 1010, 'beat^'), []);
  stream.setPaused(false);
  assert.deepEqual(written(stream, 1020), ['|0A']);
});

test('a hello carries the pending SACK', () => {
  const stream = attached();
  assert.deepEqual(receive(stream, 0, 10, '0N', 'a '), []);
  stream.cut(20);
  const [hello, ...more] = written(stream, 1000);
  assert(hello?.includes('"sack":"|0"'), hello);
  assert.deepEqual(more, []);
  assert.deepEqual(receive(stream, 1, 1010, 'beat^'), []);
  assert.deepEqual(written(stream, 1010 + MAX_ACK_DELAY), []);
});

/** Returns a stream with two open WebSockets: key 0, and key 1 as its successor. */
function withSuccessor(): StreamMachine {
  const stream = attached();
  stream.wake('online', true, 10);
  assert(written(stream, 10)[0]?.includes('"why":"online"'));
  assert.deepEqual(receive(stream, 1, 20, 'beat^'), []);
  // The predecessor proves alive.
  assert.deepEqual(receive(stream, 0, 21, 'beat^'), []);
  return stream;
}

test('messages on a predecessor are acknowledged at once, and so are messages before its end', () => {
  const stream = withSuccessor();
  assert.deepEqual(receive(stream, 0, 30, '0N', 'a '), ['|0A']);
  assert.deepEqual(receive(stream, 1, 40, '1N', 'b '), []);
  stream.onClosed(0, 'failed', 50);
  assert.deepEqual(written(stream, 50), ['|1A']);
  assert.deepEqual(written(stream, 40 + MAX_ACK_DELAY), []);
});

test('when a successor fails, its messages are acknowledged at once on the predecessor', () => {
  const stream = withSuccessor();
  assert.deepEqual(receive(stream, 1, 30, '0N', 'a '), []);
  stream.onClosed(1, 'failed', 40);
  const outputs = stream.drain(40).filter((output) => output.do === 'write');
  assert.deepEqual(outputs, [{ do: 'write', key: 0, frames: ['|0A'] }]);
});

test('HTTP stream: an upload carries the SACK after 1 s or 16 messages, or along with a message', () => {
  const stream = attached('http-stream');
  assert.deepEqual(receive(stream, 0, 10, '0N', 'a '), []);
  assert.equal(stream.pollTimeout(), 10 + MAX_HTTP_ACK_DELAY);
  assert.deepEqual(written(stream, 9 + MAX_HTTP_ACK_DELAY), []);
  const [hello, ...more] = written(stream, 10 + MAX_HTTP_ACK_DELAY);
  assert(hello?.includes('"sack":"|0"') && !hello.includes('eeds'), hello);
  assert.deepEqual(more, []);
  stream.onClosed(1, 'ended', 1_020);
  // No message followed, but the next SACK is delayed all the same.
  assert.deepEqual(receive(stream, 0, 2_000, ...Array.from({ length: 15 }, () => 'b ')), []);
  assert(receive(stream, 0, 2_001, 'b ')[0]?.includes('"sack":"|16"'));
  stream.onClosed(2, 'ended', 2_020);
  assert.deepEqual(receive(stream, 0, 2_500, 'c '), []);
  stream.send('own');
  const [second, ...frames] = written(stream, 2_510);
  assert(second?.includes('"sack":"|17"'), second);
  assert.deepEqual(frames, ['0N', 'own ']);
});

test('HTTP stream: a following WebSocket carries the SACK at once', () => {
  const stream = attached('http-stream');
  assert.deepEqual(receive(stream, 0, 10, '0N', 'a '), []);
  stream.switchTo('websocket', 20);
  const [hello] = written(stream, 20);
  assert(hello?.includes('"sack":"|0"') && hello.includes('"eeds":0'), hello);
  assert.deepEqual(receive(stream, 1, 30, 'beat^'), []);
  assert.deepEqual(receive(stream, 0, 40, 'b '), ['|1A'], 'received over HTTP');
});

test('a server that waits for each SACK loses 900 ms over 200 messages', () => {
  const stream = attached();
  const delayed: number[] = [];
  let now = 1000;
  for (let message = 1; message <= 200; message += 1) {
    let sacks = receive(stream, 0, now, `${message - 1}N`, 'x ');
    if (sacks.length === 0) {
      delayed.push(message);
      now = stream.pollTimeout() ?? 0;
      sacks = written(stream, now);
    }
    assert.deepEqual(sacks, [`|${message - 1}A`]);
  }
  assert.deepEqual(delayed, [1, 3, 6, 11, 20, 37, 70, 135, 200]);
  assert.equal(now - 1000, 900);
});

test('a server that does not wait receives one SACK for many messages', () => {
  // 2,400 messages at a fixed interval in ms.
  for (const [step, expected] of [[1, 150], [10, 218], [20, 400], [50, 800], [90, 1200], [101, 2400]] as const) {
    const stream = attached();
    let sacks = 0;
    for (let at = 0; at < 2400 * step; at += 1) {
      if (at % step === 0) stream.recvFrames(0, [`${at / step}N`, 'x '], 1000 + at);
      stream.recvFrames(0, ['beat^'], 1000 + at);
      sacks += written(stream, 1000 + at).length;
    }
    assert.equal(sacks, expected, `${step} ms`);
  }
});

test('random schedules: every message is acknowledged, within 100 ms on a working WebSocket', () => {
  for (let seed = 0; seed < 300; seed += 1) {
    const random = new Random(seed);
    const sim = new Simulation(random, 'websocket', 10 + random.below(100));
    for (let step = 0; step < 100; step += 1) {
      sim.run(sim.now + random.below(150));
      for (let i = random.below(random.chance(0.1) ? 40 : 3); i > 0; i -= 1) sim.stream?.send(`s${step}`);
      if (random.chance(0.1)) sim.send(`c${step}`);
      if (random.chance(0.03)) sim.breakOne(random.chance(0.3));
      if (random.chance(0.03)) sim.client.wake('online', true, sim.now);
      sim.drain();
    }
    sim.run(sim.now + 60_000, () => settled(sim));
    assertExactlyOnce(sim, `seed ${seed}`);
    checkDelays(sim.trace, seed);
  }
});

/** Asserts that no message in a trace waits longer than the delay for its SACK while a transport exists. */
function checkDelays(trace: readonly string[], seed: number): void {
  let since: number | null = null;
  for (const line of trace) {
    const space = line.indexOf(' ');
    const now = Number(line.slice(0, space));
    const output = JSON.parse(line.slice(space)) as Output;
    // Times in a trace are rounded to whole ms.
    const inTime = since === null || now - since <= MAX_ACK_DELAY + 1;
    assert(inTime, `seed ${seed}: unacknowledged since ${since} at ${line}`);
    if (output.do === 'write' && /[AH]$/.test(String(output.frames[0]))) since = null;
    else if (output.do === 'transport' && output.kind === null) since = null;
    else if (output.do === 'deliver') since ??= now;
  }
  assert.equal(since, null, `seed ${seed}: unacknowledged at the end`);
}
