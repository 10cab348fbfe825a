/** Browsers list an aborted request as failed, even a complete one: the client aborts unfinished requests only. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { MinervaStream } from '../src/client.js';
import { RealServer } from './real_server.js';

/** Counts of finished requests, and of those that were aborted afterwards. */
interface Counts {
  finished: number;
  aborted: number;
}

/** Observes all requests until `restore` is called. */
function observe(): Counts & { restore(): void } {
  const { fetch } = globalThis;
  const restore = (): void => void (globalThis.fetch = fetch);
  const counts = { finished: 0, aborted: 0, restore };
  globalThis.fetch = async (input, init) => {
    let isFinished = false;
    init?.signal?.addEventListener('abort', () => (counts.aborted += Number(isFinished)));
    const response = await fetch(input, init);
    const flush = (): void => {
      isFinished = true;
      counts.finished += 1;
    };
    const body = response.body?.pipeThrough(new TransformStream({ flush })) ?? null;
    return new Response(body, { status: response.status, headers: response.headers });
  };
  return counts;
}

for (const transport of ['http-stream', 'long-poll'] as const) {
  test(`no finished request is aborted (${transport})`, async () => {
    const server = new RealServer();
    const url = await server.listen();
    const counts = observe();
    try {
      const stream = new MinervaStream(url, { transport });
      for (let i = 0; i < 30; i += 1) {
        await stream.send(`${i}`);
        if (i % 10 === 5) stream.cut();
      }
      stream.switchTo(transport === 'long-poll' ? 'http-stream' : 'long-poll');
      await stream.send('moved');
      await stream.close();
      // Requests that end behind the stream.
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert(counts.finished >= 10, `${counts.finished} finished requests`);
      assert.equal(counts.aborted, 0);
    } finally {
      counts.restore();
      server.close();
    }
  });
}
