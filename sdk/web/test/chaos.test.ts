/**
 * Random schedules of loss, delay, reordering between transports, cuts and proxy faults against the model server; every
 * message must arrive exactly once and in order. SCHEDULES sets their number (CI: 10,000); failures report the seed.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import type { Message } from '../src/message.js';
import type { Version } from '../src/stream/types.js';
import { Random } from './random.js';
import { assertExactlyOnce, KINDS, settled, Simulation } from './simulation.js';

const SCHEDULES = Number(process.env['SCHEDULES'] ?? 1_500);

test('random schedules: messages arrive exactly once and in order in both directions', () => {
  for (let seed = 0; seed < SCHEDULES; seed += 1) assertExactlyOnce(chaos(seed, false), `seed ${seed}`);
});

test('random schedules: text and binary messages of version 3 arrive unchanged, exactly once and in order', () => {
  for (let seed = 0; seed < SCHEDULES; seed += 1) {
    const sim = chaos(seed, false, 3);
    assertExactlyOnce(sim, `seed ${seed}`);
    assert.equal(sim.client.version, 3);
  }
});

test('random schedules: a server without version 3 leads to version 2, and no message is lost', () => {
  for (let seed = 0; seed < SCHEDULES; seed += 1) {
    const sim = chaos(seed, false, 2);
    assertExactlyOnce(sim, `seed ${seed}`);
    assert.equal(sim.client.version, 2);
  }
});

test('random schedules: the same seed gives the same trace', () => {
  for (const seed of [5, 55, 555]) assert.deepEqual(chaos(seed).trace, chaos(seed).trace);
});

/** Content for version 3: text of any code points, binary, or empty. */
function content(text: string, random: Random): Message {
  const bytes = Uint8Array.from({ length: random.below(40) }, () => random.below(256));
  const characters = ['', 'é\n\0', '\ufeff', '\u{10ffff}|7Q', text];
  return random.chance(0.5) ? bytes : `${characters[random.below(characters.length)]}`;
}

/** Runs a schedule; with `serverVersion` for a client that selects the version itself. */
function chaos(seed: number, traced = true, serverVersion?: Version): Simulation {
  const random = new Random(seed);
  const kind = random.chance(0.5) ? 'auto' : (KINDS[random.below(3)] ?? 'websocket');
  const options = serverVersion ? { version: 'auto' as const, resumeKey: 'k' } : {};
  const sim = new Simulation(random, kind, 10 + random.below(300), options, ({ server }) => {
    server.maxVersion = serverVersion ?? 2;
  });
  const message = (text: string): Message => (serverVersion === 3 ? content(text, random) : text);
  sim.traced = traced;
  let messages = 0;
  let upAgainAt = 0;
  for (let step = 0; step < 60; step += 1) {
    sim.run(sim.now + random.below(200));
    if (!sim.up && sim.now >= upAgainAt) sim.up = true;
    const many = random.chance(0.05) ? 80 : random.below(4);
    for (let i = 0; i < many; i += 1) sim.send(message(`c${messages++}`));
    for (let i = random.below(4); i > 0; i -= 1) sim.stream?.send(message(`s${messages++}`));
    if (random.chance(0.02)) sim.send('x'.repeat(random.below(300_000)));
    if (random.chance(0.05)) sim.client.switchTo(KINDS[random.below(3)] ?? 'websocket', sim.now);
    if (random.chance(0.05)) sim.breakOne(random.chance(0.3));
    if (random.chance(0.02)) sim.client.cut(sim.now);
    if (random.chance(0.03)) injectFault(sim, random);
    if (random.chance(0.02)) sim.client.wake('x', random.chance(0.5), sim.now);
    if (random.chance(0.02)) {
      sim.up = false;
      upAgainAt = sim.now + random.below(3000);
      sim.breakAll(random.chance(0.3));
    }
    sim.drain();
  }
  sim.up = true;
  sim.clear();
  sim.run(sim.now + 300_000, () => settled(sim));
  return sim;
}

/** Injects or removes a proxy fault. */
function injectFault(sim: Simulation, random: Random): void {
  const kind = KINDS[random.below(3)] ?? 'websocket';
  const faults = [
    () => sim.clear(),
    () => (sim.hung = true),
    () => (sim.mute = true),
    () => (sim.buffering = true),
    () => sim.refused.add(kind),
    () => sim.cutAfter.set(kind, 500 + random.below(5000)),
  ];
  faults[random.below(faults.length)]?.();
}
