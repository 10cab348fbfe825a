/** `close`: the stream ends once all queued messages are acknowledged, and no message is lost. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { MinervaStream } from '../src/client.js';
import { endIn, machine, start, written } from './machine.js';
import { Random } from './random.js';
import { RealServer } from './real_server.js';
import { KINDS, Simulation } from './simulation.js';

const SCHEDULES = Number(process.env['SCHEDULES'] ?? 1_500);
const OWN_END = { reason: 'done', applicationLevel: true, by: 'client' } as const;

test('the reset follows the acknowledgement of the last message', () => {
  const stream = machine();
  start(stream);
  stream.recvFrames(0, ['C', 'beat^'], 10);
  stream.send('a');
  stream.close('done', 20);
  assert.deepEqual(written(stream.drain(20)), ['0N', 'a ']);
  stream.recvFrames(0, ['|0A'], 30);
  assert.deepEqual(written(stream.drain(30)), ['done|1!']);
  stream.recvFrames(0, ['done|1!', 'Y'], 40);
  assert.deepEqual(endIn(stream.drain(40)), OWN_END);
});

test('messages of the server are delivered until the reset', () => {
  const stream = machine();
  start(stream);
  stream.recvFrames(0, ['C', 'beat^'], 10);
  stream.send('a');
  stream.close('done', 20);
  stream.drain(20);
  stream.recvFrames(0, ['0N', 'late '], 30);
  assert.equal(stream.drain(30).filter((output) => output.do === 'deliver').length, 1);
});

test('without messages and before the first hello the end is immediate and costs nothing', () => {
  const stream = machine();
  stream.close('done', 0);
  const outputs = stream.drain(0);
  assert.deepEqual(endIn(outputs), OWN_END);
  assert(!outputs.some((output) => output.do === 'open'));
});

test('the final upload of a page has the reset only behind all messages', () => {
  for (const [room, expected] of [[10_000, ['0N', 'a ', 'b ', 'done|1!']], [260, ['0N', 'a ']]] as const) {
    const stream = machine();
    start(stream);
    stream.recvFrames(0, ['C', 'beat^'], 10);
    stream.send('a');
    stream.send(room === 260 ? 'b'.repeat(9_000) : 'b');
    stream.close('done', 20);
    assert.deepEqual(stream.leave(room)?.slice(1), expected);
  }
});

for (const kind of [...KINDS, 'auto'] as const) {
  test(`${kind}: no schedule of faults loses a message before the end`, () => {
    for (let seed = 0; seed < SCHEDULES / 8; seed += 1) {
      const random = new Random(seed);
      const sim = new Simulation(random, kind);
      const count = random.below(30);
      for (let i = 0; i < count; i += 1) {
        sim.send(`${i}`);
        sim.run(sim.now + random.below(60));
        if (random.chance(0.1)) sim.breakOne(random.chance(0.5));
      }
      let { stream } = sim;
      const isOver = (): boolean => {
        stream ??= sim.stream;
        return sim.end !== null;
      };
      sim.client.close('done', sim.now);
      sim.drain();
      for (let i = 0; i < 5; i += 1) {
        sim.run(sim.now + random.below(400), isOver);
        if (random.chance(0.5)) sim.breakAll(random.chance(0.5));
      }
      sim.run(sim.now + 100_000, isOver);
      assert.deepEqual(sim.ended, OWN_END, `seed ${seed}`);
      if (count > 0) assert.deepEqual([stream?.delivered, stream?.reset], [sim.sent, 'done'], `seed ${seed}`);
      assert.equal(sim.acked.length, count, `seed ${seed}`);
    }
  });
}

test('close is fulfilled with the end, and rejected if the server ends the stream first', async () => {
  for (const isServer of [false, true]) {
    const server = new RealServer();
    const stream = new MinervaStream(await server.listen(), { transport: 'websocket' });
    await stream.send('first');
    const model = server.model.streams.get(stream.id);
    const last = stream.send('last');
    if (isServer) server.model.reset(stream.id, 'enough');
    const closed = stream.close('done');
    await assert.rejects(stream.send('late'), /ended: done/);
    if (isServer) await assert.rejects(closed, /ended: enough/);
    else {
      await closed;
      await last;
      assert.deepEqual(model?.delivered, ['first', 'last']);
    }
    await (isServer ? assert.rejects(stream.close()) : stream.close());
    server.close();
  }
});
