/** Files over messages: the shared vectors, lengths, flow, and files that end early. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { FileAssembler, FileError, MAX_PART, receiveFile, sendFile, type FileEvent, type FileSender } from '../src/files.js';
import type { Message } from '../src/message.js';

interface Case {
  readonly name: string;
  readonly max: number;
  readonly messages: readonly (string | number)[];
  readonly events: readonly unknown[];
}

const { cases } = JSON.parse(readFileSync('../../proto/vectors/files.json', 'utf8')) as { cases: readonly Case[] };

/** The form of the vectors. */
function plain(event: FileEvent): unknown {
  switch (event.kind) {
    case 'begun':
      return { file: [event.header.name, event.header.size, event.header.type] };
    case 'part':
      return { part: [event.received, event.isLast] };
    case 'given up':
      return { given_up: event.reason };
    case 'other':
      return null;
  }
}

for (const { name, max, messages, events } of cases) {
  test(`shared vector: ${name}`, () => {
    const files = new FileAssembler(max);
    const found = messages.map((message) => {
      try {
        return plain(files.onMessage(typeof message === 'string' ? message : new Uint8Array(message)));
      } catch (error) {
        assert(error instanceof FileError);
        return { error: error.message };
      }
    });
    assert.deepEqual(found, events);
  });
}

/** A stream whose messages become durable when the test permits it. */
class Loopback implements FileSender {
  version = 3;
  readonly sent: Message[] = [];
  readonly held: (() => void)[] = [];
  isHeld = false;

  send(message: string | Uint8Array): Promise<void> {
    this.sent.push(message);
    return this.isHeld ? new Promise((resolve) => this.held.push(resolve)) : Promise.resolve();
  }

  async *messages(): AsyncGenerator<Message> {
    yield* this.sent;
  }
}

function content(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, position) => (position * 31) / 7);
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setTimeout(resolve));
}

test('files of all lengths arrive in parts of at most 32 KiB', async () => {
  for (const length of [0, 1, MAX_PART - 1, MAX_PART, MAX_PART + 1, 3 * MAX_PART + 7, 3 << 20]) {
    const stream = new Loopback();
    const progress: number[] = [];
    const file = new File([content(length)], '\u00e9', { type: 'image/png' });
    await sendFile(stream, file, { onprogress: (sent, size) => progress.push(sent / (size || 1)) });
    assert.equal(stream.sent.length, 1 + Math.ceil(length / MAX_PART));
    assert.equal(progress.at(-1) ?? 1, 1);
    const seen: number[] = [];
    const received = await receiveFile(stream.messages(), { onprogress: (bytes) => seen.push(bytes) });
    assert.deepEqual([received.name, received.size, received.type], ['\u00e9', length, 'image/png']);
    assert.deepEqual(new Uint8Array(await received.arrayBuffer()), content(length));
    assert.deepEqual([seen[0], seen.at(-1)], [0, length]);
  }
});

test('at most 128 KiB are in flight, and text goes between the parts', async () => {
  const stream = new Loopback();
  stream.isHeld = true;
  const sending = sendFile(stream, new Blob([content(1 << 20)]));
  await settle();
  // The acknowledgements arrive in the order of the messages; the header and the text do not count.
  const inFlight = (): number =>
    stream.sent.slice(-stream.held.length).reduce((sum, part) => sum + (typeof part === 'string' ? 0 : part.length), 0);
  void stream.send('small');
  for (let most = 0; stream.held.length > 0; ) {
    most = Math.max(most, inFlight());
    assert(most <= 128 * 1024, `${most} bytes in flight`);
    stream.held.shift()?.();
    await settle();
  }
  await sending;
  const others: Message[] = [];
  const file = await receiveFile(stream.messages(), { onmessage: (message) => others.push(message) });
  assert.deepEqual([file.size, others], [1 << 20, ['small']]);
});

test('files of one stream follow one another, also behind a failed one', async () => {
  const stream = new Loopback();
  const unreadable = { size: 5, type: '', slice: () => ({ arrayBuffer: () => Promise.reject(new Error('secret')) }) };
  const sends = [
    sendFile(stream, new Blob([content(100_000)]), { name: 'a' }),
    sendFile(stream, unreadable as unknown as Blob, { name: 'b' }),
    sendFile(stream, new Blob([content(3)]), { name: 'c\ud800' }),
  ];
  const results = await Promise.allSettled(sends);
  assert.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
  const messages = stream.messages();
  assert.equal((await receiveFile(messages)).size, 100_000);
  await assert.rejects(receiveFile(messages), { name: 'FileError', message: 'the file cannot be read' });
  const { name, size } = await receiveFile(messages);
  assert.deepEqual([name, size], ['c\ufffd', 3]);
});

test('an aborted file is given up; an aborted signal and version 2 send nothing', async () => {
  const stream = new Loopback();
  stream.isHeld = true;
  const abort = new AbortController();
  const { signal } = abort;
  const sending = sendFile(stream, new Blob([content(1 << 20)]), { signal });
  await settle();
  abort.abort();
  while (stream.held.length > 0) {
    stream.held.shift()?.();
    await settle();
  }
  await assert.rejects(sending, { name: 'FileError', message: 'cancelled' });
  await assert.rejects(receiveFile(stream.messages()), { message: 'cancelled' });
  const { length } = stream.sent;
  await assert.rejects(sendFile(stream, new Blob(['x']), { signal }), { message: 'cancelled' });
  stream.version = 2;
  await assert.rejects(sendFile(stream, new Blob(['x'])), { message: /--max-version 3/ });
  assert.equal(stream.sent.length, length);
});

test('the end of the stream and a file above the limit are errors', async () => {
  const stream = new Loopback();
  await sendFile(stream, new Blob([content(100)]));
  await assert.rejects(receiveFile(stream.messages(), { maxSize: 99 }), { message: /exceeds the limit of 99/ });
  stream.sent[1] = content(99);
  await assert.rejects(receiveFile(stream.messages()), { message: 'the stream ended before the file' });
});
