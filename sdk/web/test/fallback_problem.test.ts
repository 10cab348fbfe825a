/** Information about an open stream whose better kinds of transport fail: blocked WebSockets and buffering proxies. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { REPORT_DELAY } from '../src/stream/problem_report.js';
import { Random } from './random.js';
import { assertExactlyOnce, settled, Simulation } from './simulation.js';

/** Runs a stream of kind `auto` with traffic in both directions. */
function exchange(sim: Simulation, ms: number): void {
  for (const end = sim.now + ms; sim.now < end; ) {
    sim.send(`c${sim.now}`);
    sim.stream?.send(`s${sim.now}`);
    sim.run(sim.now + 100);
  }
}

/** Codes of the reported problems. */
function reports(sim: Simulation): (string | null)[] {
  const lines = sim.trace.filter((line) => line.includes('"do":"problem"'));
  return lines.map((line) => /"code":"(\w+)"/.exec(line)?.[1] ?? null);
}

for (const [name, code, fallback, installFaults] of [
  ['WebSocket refused', 'blocked', 'http-stream', (sim: Simulation) => sim.refused.add('websocket')],
  ['WebSocket mute', 'blocked', 'http-stream', (sim: Simulation) => (sim.mute = true)],
  ['responses buffered and WebSocket hung', 'proxy', 'long-poll', (sim: Simulation) => Object.assign(sim, { hung: true, buffering: true })],
] as const) {
  test(`${name}: the open stream has the reason, which is reported once and withdrawn when a better kind works`, () => {
    const sim = new Simulation(new Random(1), 'auto', 20, {}, installFaults);
    exchange(sim, 120_000);
    assert.deepEqual([sim.client.state, sim.client.problem?.code, sim.client.problem?.fallback], ['open', code, fallback]);
    assert.deepEqual(reports(sim), [code]);
    assert((sim.client.problem?.after ?? 0) > 0);
    Object.assign(sim, { hung: false, mute: false, buffering: false });
    sim.refused.clear();
    exchange(sim, 700_000);
    assert.deepEqual([sim.client.transport, sim.client.problem, reports(sim).at(-1)], ['websocket', null, null]);
    sim.run(sim.now + 60_000, () => settled(sim));
    assertExactlyOnce(sim, name);
  });
}

test('a network in which all kinds work has no problem, nor has a stream of one kind', () => {
  for (const kind of ['auto', 'http-stream', 'long-poll'] as const) {
    const sim = new Simulation(new Random(1), kind, 20, {}, ({ refused }) => kind !== 'auto' && refused.add('websocket'));
    exchange(sim, 10 * REPORT_DELAY);
    assert.deepEqual([sim.client.state, reports(sim)], ['open', []]);
  }
});
