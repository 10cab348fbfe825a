/**
 * Random schedules of loss, delay, reordering between transports, cuts and proxies against the model server:
 * order, no loss, no duplicate. SCHEDULES sets how many (CI: 10,000); a failing one is named by its seed.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { Random } from './random.js';
import { check, KINDS, settled, Simulation } from './simulation.js';

const SCHEDULES = Number(process.env['SCHEDULES'] ?? 1_500);

test('random schedules: order, no loss, no duplicate, both ways', () => {
  for (let seed = 0; seed < SCHEDULES; seed += 1) check(chaos(seed, false), `seed ${seed}`);
});

test('random schedules: one seed twice gives the same trace', () => {
  for (const seed of [5, 55, 555]) assert.deepEqual(chaos(seed).trace, chaos(seed).trace);
});

function chaos(seed: number, traced = true): Simulation {
  const random = new Random(seed);
  const kind = random.chance(0.5) ? 'auto' : (KINDS[random.below(3)] ?? 'websocket');
  const sim = new Simulation(random, kind, 10 + random.below(300));
  sim.traced = traced;
  let strings = 0;
  let back = 0;
  for (let step = 0; step < 60; step += 1) {
    sim.run(sim.now + random.below(200));
    if (!sim.up && sim.now >= back) sim.up = true;
    const many = random.chance(0.05) ? 80 : random.below(4);
    for (let i = 0; i < many; i += 1) sim.send(`c${strings++}`);
    for (let i = random.below(4); i > 0; i -= 1) sim.stream?.send(`s${strings++}`);
    if (random.chance(0.02)) sim.send('x'.repeat(random.below(300_000)));
    if (random.chance(0.05)) sim.client.switchTo(KINDS[random.below(3)] ?? 'websocket', sim.now);
    if (random.chance(0.05)) sim.breakOne(random.chance(0.3));
    if (random.chance(0.02)) sim.client.cut(sim.now);
    if (random.chance(0.03)) mischief(sim, random);
    if (random.chance(0.02)) sim.client.wake('x', random.chance(0.5), sim.now);
    if (random.chance(0.02)) {
      sim.up = false;
      back = sim.now + random.below(3000);
      sim.breakAll(random.chance(0.3));
    }
    sim.drain();
  }
  sim.up = true;
  sim.clear();
  sim.run(sim.now + 300_000, () => settled(sim));
  return sim;
}


/** A proxy begins to be in the way, or stops. */
function mischief(sim: Simulation, random: Random): void {
  const kind = KINDS[random.below(3)] ?? 'websocket';
  const deeds = [
    () => sim.clear(),
    () => (sim.hung = true),
    () => (sim.mute = true),
    () => (sim.buffering = true),
    () => sim.refused.add(kind),
    () => sim.cutAfter.set(kind, 500 + random.below(5000)),
  ];
  deeds[random.below(deeds.length)]?.();
}
