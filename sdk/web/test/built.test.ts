/** The built module: shortened property names do not affect the protocol or the public API. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { StreamMachine } from '../src/stream.js';
import { ID } from './simulation.js';

interface Built {
  MinervaStream: new (url: string, options: { transport: string }) => { id: string };
}

/** Returns the keys of the hello at the start of a request body. */
function keys(frames: string): string[] {
  const [hello = ''] = frames.split('\n');
  assert(hello.endsWith('H'), hello);
  return Object.keys(JSON.parse(hello.slice(0, -1)) as object);
}

test('the hello of the built module has the same keys as the one of the source', async () => {
  const source = new StreamMachine({ id: ID, kind: 'long-poll', random: Math.random });
  const [output] = source.drain(0);
  assert(output?.do === 'open');
  const path = new URL('../dist/client.mjs', import.meta.url).href;
  const { MinervaStream } = (await import(path)) as Built;
  const { fetch } = globalThis;
  const posted = await new Promise<string>((resolve) => {
    globalThis.fetch = (_, request) => {
      resolve(String(request?.body));
      return Promise.resolve(new Response(';)]}^\nover|1!\n'));
    };
    new MinervaStream('http://127.0.0.1/_minerva/', { transport: 'long-poll' });
  });
  globalThis.fetch = fetch;
  const expected = keys(output.frames.join('\n'));
  assert(expected.includes('beat'));
  assert.deepEqual(keys(posted), expected);
});

test('the built module for questions, which clients of both versions load, carries binary bodies', async () => {
  const path = new URL('../dist/qan.mjs', import.meta.url).href;
  const { Qan } = (await import(path)) as typeof import('../src/qan.js');
  const sent: unknown[] = [];
  const failed: string[] = [];
  const qan = new Qan(async (message) => void sent.push(message), (reason) => failed.push(reason));
  const answer = qan.ask(Uint8Array.of(0, 255));
  assert.deepEqual(sent, [Uint8Array.of(0, 255, 124, 49, 81)]);
  qan.recv(Uint8Array.of(7, 0, 124, 49, 75));
  assert.deepEqual([await answer, failed], [Uint8Array.of(7, 0), []]);
});
