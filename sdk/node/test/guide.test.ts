// Runs the snippets in TypeScript of docs/app-guide.md.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Handler, Service } from '@minerva/app';
import { Database, accept, exactlyOnce, groups, kinds, suspect } from './guide/snippets.js';
import { Client, MinervaProcess, skip } from './minerva_process.js';

describe('the guide, with minerva', { skip }, () => {
  let minerva: MinervaProcess;
  beforeEach(async () => {
    minerva = await MinervaProcess.start();
  });
  afterEach(() => minerva.kill());

  /** Serves one client: `>text` is sent, other texts must arrive. */
  async function play(handler: Handler, steps: string[], hello: object = {}): Promise<void> {
    const service = new Service({ cores: minerva.cores, instanceId: 'test' });
    await service.start();
    const running = service.run(handler, { handleSignals: false });
    try {
      await expect(steps, hello);
    } finally {
      await service.stop();
      await running;
    }
  }

  async function expect(steps: string[], hello: object): Promise<void> {
    const client = new Client(minerva.listen, hello);
    for (const step of steps) {
      if (step.startsWith('>')) client.send(step.slice(1));
      else assert.equal(await client.recv(), step);
    }
    client.close();
  }

  test('the first program', async () => {
    const program = spawn(process.execPath, [fileURLToPath(new URL('guide/hello.js', import.meta.url))], {
      env: { ...process.env, MINERVA_API: minerva.cores }, stdio: 'inherit',
    });
    try {
      await expect(['>good morning', 'hello, ann', 'good morning'], { cred: 'ann' });
    } finally {
      program.kill();
      assert.equal((await once(program, 'exit'))[0], 0);
    }
  });

  test('clients are accepted and refused', async () => {
    await play(accept, ['log in first|1!'], { cred: 'wrong' });
    await play(accept, ['>hi', 'hi'], { cred: 'token of ann' });
  });

  test('kinds', () => play(kinds, ['>hello', '5 UTF-16 units']));

  test('groups', async () => {
    await play(async (stream) => {
      await stream.setLabel('ann');
      await groups(stream, minerva.cores);
    }, ['the game begins', 'it is your turn']);
  });

  test('a suspect message', () => play(suspect, ['>a', 'a']));

  test('effects happen once', async () => {
    const database = new Database();
    await play((stream) => exactlyOnce(stream, database), ['>a', '>b', 'stored 1', 'stored 2']);
    assert.deepEqual(database.effects, ['a', 'b']);
  });
});
