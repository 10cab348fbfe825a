// The SDK with a running `minerva`.
import assert from 'node:assert/strict';
import { after, before, describe, mock, test } from 'node:test';
import {
  type Content, type Handler, OutboxFullError, Service, SettingError, StartError, StreamOverError, Streams, StreamsError, UnavailableError,
  UnsupportedMessageError,
} from '../src/index.js';
import { Client, MinervaProcess, freePort, skip } from './minerva_process.js';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const echo: Handler = async (stream) => {
  for await (const event of stream.events()) {
    if (event.type === 'message') await stream.answer(event, `${event.event}:${String(event.content)}`);
  }
};

describe('with minerva', { skip }, () => {
  let minerva: MinervaProcess;
  before(async () => {
    minerva = await MinervaProcess.start();
  });
  after(() => minerva.kill());

  async function serving(handler: Handler, use: (client: Client) => Promise<void>, hello: object = {}): Promise<void> {
    const service = new Service({ cores: minerva.cores, instanceId: 'test' });
    await service.start();
    // A stream of the test before, whose end was not acknowledged, is started again.
    const other: Handler = async (stream) => {
      for await (const _ of stream);
    };
    const choose: Handler = (stream) => (stream.isResumed && handler !== echo ? other : handler)(stream);
    const running = service.run(choose, { handleSignals: false });
    const client = new Client(minerva.listen, hello);
    try {
      await use(client);
    } finally {
      client.close();
      await service.stop();
      await running;
    }
  }

  async function received(client: Client, count: number): Promise<string[]> {
    const messages = [];
    while (messages.length < count) messages.push(await client.recv());
    return messages;
  }

  test('messages are answered in order', async () => {
    await serving(echo, async (client) => {
      for (let number = 0; number < 300; number += 1) client.send(`m${number}`);
      assert.deepEqual(await received(client, 300), Array.from({ length: 300 }, (_, number) => `${number + 1}:m${number}`));
    });
  });

  test('the end of a handler delivers all messages', async () => {
    const numbers = Array.from({ length: 200 }, (_, number) => `${number}`);
    const goodbye: Handler = async (stream) => {
      for (const number of numbers) await stream.send(number);
    };
    await serving(goodbye, async (client) => assert.deepEqual(await received(client, 200), numbers));
  });

  test('the error of a handler is written to stderr and resets the stream', async () => {
    const log = mock.method(console, 'error', () => {});
    const fail: Handler = async () => {
      throw new Error('confidential');
    };
    await serving(fail, async (client) => assert.equal(await client.recv(), 'the application failed|0!'));
    assert.match(String(log.mock.calls[0]?.arguments[1]), /confidential/);
    log.mock.restore();
  });

  test('invalid messages and names are rejected and the stream goes on', async () => {
    const problems: unknown[] = [];
    const check: Handler = async (stream) => {
      const contents: [Content, number | undefined][] = [['é', 0], ['a\n', 1], [new Uint8Array(1), undefined]];
      for (const [content, position] of contents) {
        await assert.rejects(stream.send(content), (error) => error instanceof UnsupportedMessageError && error.position === position);
      }
      await assert.rejects(stream.send('\ud800'), /lone surrogate/);
      await assert.rejects(stream.send({ a: 1 } as unknown as string), TypeError);
      await assert.rejects(stream.join('a b'), SettingError);
      assert.throws(() => stream.reset('x'.repeat(256)), SettingError);
      await stream.sendJson({ é: 1 });
    };
    const checked: Handler = (stream) => check(stream).catch((error: unknown) => void problems.push(error));
    await serving(checked, async (client) => assert.equal(await client.recv(), '{"\\u00e9":1}'));
    assert.deepEqual(problems, []);
  });

  test('a full outbox is reported and waited for', async () => {
    const outcomes: unknown[] = [];
    const flood: Handler = async (stream) => {
      stream.setOutbox(10_000, 50);
      try {
        for (let sent = 0; sent < 100_000; sent += 1) stream.trySend('x'.repeat(100));
      } catch (error) {
        outcomes.push(error instanceof OutboxFullError);
      }
      outcomes.push(await Promise.race([stream.ready().then(() => 'ready', () => 'over'), sleep(300)]));
      stream.reset('enough');
      outcomes.push(await stream.send('more').catch((error: unknown) => error instanceof StreamOverError));
    };
    await serving(flood, async () => {
      for (const end = Date.now() + 10_000; outcomes.length < 3; await sleep(50)) assert(Date.now() < end);
    });
    assert.deepEqual(outcomes, [true, undefined, true]);
  });

  test('streams reach labels and groups', async () => {
    const streams = new Streams(minerva.cores, { timeout: 5000 });
    const member: Handler = async (stream) => {
      await stream.setLabel('ann');
      await stream.join('lobby');
      await stream.send('joined');
      for await (const _ of stream);
    };
    await serving(member, async (client) => {
      assert.equal(await client.recv(), 'joined');
      const ann = { label: 'ann' };
      // A second send under one key takes effect once.
      for (const key of ['k', 'k'].map(Buffer.from)) {
        assert.deepEqual([...(await streams.send(ann, ['hello'], { key })).values()], ['taken']);
      }
      assert.equal((await streams.sendToGroup('lobby', ['all'])).taken, 1);
      assert.deepEqual(await received(client, 2), ['hello', 'all']);
      const [info] = await streams.get(ann);
      assert(info);
      assert.deepEqual([info.label, info.groups, info.isServed], ['ann', ['lobby'], true]);
      assert((await streams.list()).some(({ stream }) => stream === info.stream));
      assert.equal((await streams.sendMany([info.stream, 12345n], ['many'])).get(12345n), 'not found');
      assert.equal(await client.recv(), 'many');
      assert.deepEqual(await streams.leave(ann, 'lobby'), [info.stream]);
      assert.equal((await streams.sendToGroup('lobby', ['nobody'])).taken, 0);
      assert.deepEqual(await streams.reset(ann, 'bye'), [info.stream]);
      assert.equal(await client.recv(), 'bye|1!');
      const late = streams.send(info.stream, ['late']);
      await assert.rejects(late, (error) => error instanceof StreamsError && /^STREAM_/.test(error.reason));
      await assert.rejects(streams.sendToGroup('a b', ['x']), /group: /);
    });
    streams.close();
  });

  test('the properties of a stream', async () => {
    const describeStream: Handler = async (stream) => {
      assert(!`${stream}`.includes(stream.id));
      await stream.sendJson([stream.credentials, stream.peerAddress, stream.isResumed, stream.firstEvent, stream.accepts]);
      await stream.durable();
    };
    const use = async (client: Client) => assert.equal(await client.recv(), '["secret","127.0.0.1",false,0,"ascii"]');
    await serving(describeStream, use, { cred: 'secret' });
  });

  test('a stop releases streams to the next start', async () => {
    const client = new Client(minerva.listen);
    await serving(echo, async () => {
      client.send('one');
      assert.equal(await client.recv(), '1:one');
    });
    client.send('two');
    await serving(echo, async () => assert.equal(await client.recv(), '2:two'));
    client.close();
  });

  test('a stop is quick', async () => {
    let stopping = 0;
    await serving(echo, async (client) => {
      client.send('one');
      await client.recv();
      stopping = Date.now();
    });
    assert(Date.now() - stopping < 3000, `${Date.now() - stopping} ms`);
  });
});

test('invalid options are rejected at the start', () => {
  for (const cores of ['', 'ftp://a:1', 'a:b', 'http://a:1/x', ',']) assert.throws(() => new Service({ cores }), StartError, cores);
  for (const options of [{ name: 'A' }, { name: '' }, { instanceId: 'a b' }, { streamWindowBytes: 0 }, { token: 'a b' }]) {
    assert.throws(() => new Service({ cores: 'a:1', ...options }), StartError);
  }
});

test('a stop ends a start that waits, and an unreachable core is reported', async () => {
  const warn = mock.method(console, 'warn', () => {});
  const streams = new Streams(`127.0.0.1:${await freePort()}`, { timeout: 1000 });
  await assert.rejects(streams.get(5n), UnavailableError);
  streams.close();
  const service = new Service({ cores: `127.0.0.1:${await freePort()}` });
  const starting = assert.rejects(service.start(), StartError);
  await sleep(200);
  await service.stop();
  await starting;
  warn.mock.restore();
});
