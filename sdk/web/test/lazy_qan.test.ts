/** QAN of the client before and after the module is loaded. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { QanError } from '../src/errors.js';
import { Qan } from '../src/lazy_qan.js';
import type { Message } from '../src/message.js';

test('calls and messages keep their order while the module is loading, and afterwards', async () => {
  const sent: Message[] = [];
  const heard: Message[] = [];
  const send = (message: Message): Promise<void> => {
    sent.push(message);
    return Promise.resolve();
  };
  const qan = new Qan(send, (reason) => assert.fail(reason));
  qan.handle({ notification: (body) => heard.push(body) });
  const asked = qan.ask('a');
  let number = 0;
  const count = (): string => `${(number += 1)}#`;
  qan.recv(count());
  const notified = qan.notify('b');
  // Messages arrive while the module is loading, and around the end of the loading.
  for (let turn = 0; turn < 100; turn += 1) {
    qan.recv(count());
    await null;
    qan.recv(count());
  }
  await notified;
  assert.deepEqual(sent, ['a|1Q', 'b#']);
  assert.deepEqual(heard, Array.from({ length: 201 }, (_, index) => `${index + 1}`));
  qan.recv('no|1E');
  await assert.rejects(asked, /no/);
  assert(await asked.catch((error: unknown) => error instanceof QanError));
});

test('the end of the stream rejects questions that wait for the module', async () => {
  const qan = new Qan(
    () => Promise.resolve(),
    () => {},
  );
  const asked = qan.ask('a');
  qan.end(new Error('over'));
  await assert.rejects(asked, /over/);
});
