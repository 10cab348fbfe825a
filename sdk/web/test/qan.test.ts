/** QAN on plain message texts, without a stream. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { QanError } from '../src/errors.js';
import { Qan } from '../src/qan.js';

function setup(): { qan: Qan; sent: string[]; failed: string[] } {
  const sent: string[] = [];
  const failed: string[] = [];
  const send = (message: string | Uint8Array): Promise<void> => {
    const text = String(message);
    if (/[^ -~]/.test(text)) return Promise.reject(new Error('refused'));
    sent.push(text);
    return Promise.resolve();
  };
  return { qan: new Qan(send, (reason) => failed.push(reason)), sent, failed };
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => assert.fail('fulfilled'),
    (error: unknown) => error,
  );
}

test('answers in any order reach their questions', async () => {
  const { qan, sent } = setup();
  const [one, two] = [qan.ask('a|b'), qan.ask('')];
  assert.deepEqual(sent, ['a|b|1Q', '|2Q']);
  qan.recv('second|2K');
  qan.recv('with|bar|1K');
  assert.deepEqual(await Promise.all([one, two]), ['with|bar', 'second']);
});

test('error answers: known and unknown errors', async () => {
  const { qan } = setup();
  const asked = [qan.ask('a'), qan.ask('b')].map(rejection);
  qan.recv('no money|1E');
  qan.recv('Uncaught exception|2U');
  const [known, unknown] = await Promise.all(asked);
  assert(known instanceof QanError && unknown instanceof QanError);
  assert.deepEqual([known.body, known.known], ['no money', true]);
  assert.deepEqual([unknown.body, unknown.known], ['Uncaught exception', false]);
});

test('an aborted question is cancelled, and a late answer is ignored', async () => {
  const { qan, sent, failed } = setup();
  const controller = new AbortController();
  const asked = rejection(qan.ask('a', { signal: controller.signal }));
  controller.abort(new Error('enough'));
  assert.equal(((await asked) as Error).message, 'enough');
  assert.deepEqual(sent, ['a|1Q', '1C']);
  qan.recv('late|1K');
  assert.deepEqual(failed, []);
  const aborted = qan.ask('b', { signal: controller.signal });
  assert.equal(((await rejection(aborted)) as Error).message, 'enough');
  assert.equal(sent.length, 2, 'an aborted question is not sent');
});

test('a question that cannot be sent is rejected and leaves no open question', async () => {
  const { qan, failed } = setup();
  assert.equal(((await rejection(qan.ask('\n'))) as Error).message, 'refused');
  assert.equal(qan.ask('next').constructor, Promise);
  qan.recv('x|3K');
  assert.equal(failed.length, 1, 'number 3 was not used');
});

test('no outcome of a question leaves a listener on the signal', async () => {
  const { qan } = setup();
  const { signal } = new AbortController();
  const answered = [qan.ask('a', { signal }), qan.ask('b', { signal }), qan.ask('c', { signal })];
  assert.equal(getEventListeners(signal, 'abort').length, 3);
  qan.recv('x|1K');
  qan.recv('x|2E');
  qan.end(new Error('over'));
  await Promise.allSettled([...answered, qan.ask('\n', { signal })]);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  const controller = new AbortController();
  const aborted = rejection(qan.ask('d', { signal: controller.signal }));
  controller.abort(new Error('enough'));
  await aborted;
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
});

test('a second answer after a restart of the application is ignored', async () => {
  const { qan, failed } = setup();
  const answer = qan.ask('a');
  qan.recv('x|1K');
  qan.recv('interrupted|1U');
  assert.equal(await answer, 'x');
  assert.deepEqual(failed, []);
});

test('handlers answer questions and receive notifications', async () => {
  const { qan, sent } = setup();
  const notifications: unknown[] = [];
  qan.handle({
    question: async (body) => {
      if (body === 'bad') throw new QanError('known error');
      return `${body}!`;
    },
    notification: (body) => notifications.push(body),
  });
  qan.recv('hello|1Q');
  qan.recv('bad|2Q');
  qan.recv('#');
  qan.recv('a|1K#');
  await nextTurn();
  assert.deepEqual(sent, ['hello!|1K', 'known error|2E']);
  assert.deepEqual(notifications, ['', 'a|1K']);
});

test('without a handler, a question is answered with an error', async () => {
  const { qan, sent } = setup();
  qan.recv('hello|1Q');
  await nextTurn();
  assert.deepEqual(sent, ['nobody answers|1E']);
});

test('a cancelled question is answered with an error', async () => {
  const { qan, sent } = setup();
  const rejectOnAbort = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  qan.handle({ question: (_, signal) => rejectOnAbort(signal) });
  qan.recv('x|7Q');
  qan.recv('7C');
  qan.recv('8C');
  await nextTurn();
  assert.deepEqual(sent, ['CancelledError|7U']);
});

test('protocol violations end the stream', () => {
  const malformed = ['', 'x', 'x|1', '1Q', '1K', 'x|01Q', 'x|Q', 'x|1C', 'x|1Z', 'x|9007199254740993Q'];
  for (const bad of [...malformed, '5K', 'x|5K', 'x|5E', 'x|5U']) {
    const { qan, failed } = setup();
    qan.recv(bad);
    assert.equal(failed.length, 1, bad);
  }
  const { qan, failed } = setup();
  qan.handle({ question: () => new Promise(() => {}) });
  qan.recv('a|1Q');
  assert.deepEqual(failed, []);
  qan.recv('b|1Q');
  assert.equal(failed.length, 1);
});

test('questions beyond the limit are answered with an error', async () => {
  const { qan, sent } = setup();
  qan.handle({ question: () => new Promise(() => {}) });
  for (let number = 1; number <= 1000; number += 1) qan.recv(`x|${number}Q`);
  await nextTurn();
  assert.deepEqual(sent, []);
  qan.recv('x|1001Q');
  await nextTurn();
  assert.deepEqual(sent, ['too many questions|1001U']);
});

test('the end of the stream rejects questions and aborts handlers', async () => {
  const { qan } = setup();
  let signal: AbortSignal | undefined;
  qan.handle({ question: (_, received) => ((signal = received), new Promise(() => {})) });
  qan.recv('x|1Q');
  const asked = rejection(qan.ask('a'));
  qan.end(new Error('over'));
  assert.equal(((await asked) as Error).message, 'over');
  assert.equal(signal?.aborted, true);
});

test('an answer that the end of the stream overtakes is dropped silently', async () => {
  let isOver = false;
  const pending: ((error: Error) => void)[] = [];
  const send = (): Promise<void> =>
    isOver ? Promise.reject(new Error('over')) : new Promise((_, reject) => pending.push(reject));
  const qan = new Qan(send, () => {});
  let finish = (_: string): void => {};
  qan.handle({ question: (body) => (body === 'slow' ? new Promise((resolve) => (finish = resolve)) : 'answer') });
  qan.recv('slow|1Q');
  qan.recv('fast|2Q');
  await nextTurn();
  assert.equal(pending.length, 1, 'the fast answer is not acknowledged');
  // An unhandled rejection fails the test.
  isOver = true;
  qan.end(new Error('over'));
  for (const reject of pending) reject(new Error('over'));
  finish('late');
  await nextTurn();
});
