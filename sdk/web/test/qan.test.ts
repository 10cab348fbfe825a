/** QAN: texts that come and go, without a stream. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { Qan, QanError } from '../src/qan.js';

function setup(): { qan: Qan; sent: string[]; failed: string[] } {
  const sent: string[] = [];
  const failed: string[] = [];
  const send = (text: string): Promise<void> => {
    if (/[^ -~]/.test(text)) return Promise.reject(new Error('refused'));
    sent.push(text);
    return Promise.resolve();
  };
  return { qan: new Qan(send, (reason) => failed.push(reason)), sent, failed };
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => assert.fail('fulfilled'),
    (error: unknown) => error,
  );
}

test('questions get their answers, in whatever order', async () => {
  const { qan, sent } = setup();
  const [one, two] = [qan.ask('a|b'), qan.ask('')];
  assert.deepEqual(sent, ['a|b|1Q', '|2Q']);
  qan.recv('second|2K');
  qan.recv('with|bar|1K');
  assert.deepEqual(await Promise.all([one, two]), ['with|bar', 'second']);
});

test('errors: those meant to be read, and others', async () => {
  const { qan } = setup();
  const asked = [qan.ask('a'), qan.ask('b')].map(rejection);
  qan.recv('no money|1E');
  qan.recv('Uncaught exception|2U');
  const [known, unknown] = await Promise.all(asked);
  assert(known instanceof QanError && unknown instanceof QanError);
  assert.deepEqual([known.body, known.known, unknown.body, unknown.known], ['no money', true, 'Uncaught exception', false]);
});

test('a question given up is cancelled, and its answer may still come', async () => {
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
  assert.equal(sent.length, 2, 'what is given up already is not asked');
});

test('a question that cannot be sent is refused and its number is not in use', async () => {
  const { qan, failed } = setup();
  assert.equal(((await rejection(qan.ask('\n'))) as Error).message, 'refused');
  qan.recv('x|1K');
  assert.equal(failed.length, 1);
});

test('the page answers questions and takes notifications', async () => {
  const { qan, sent } = setup();
  const told: string[] = [];
  qan.handle({
    question: async (body) => {
      if (body === 'bad') throw new QanError('I know that');
      return `${body}!`;
    },
    notification: (body) => told.push(body),
  });
  qan.recv('hello|1Q');
  qan.recv('bad|2Q');
  qan.recv('#');
  qan.recv('a|1K#');
  await soon();
  assert.deepEqual(sent, ['hello!|1K', 'I know that|2E']);
  assert.deepEqual(told, ['', 'a|1K']);
});

test('nobody answers: said so', async () => {
  const { qan, sent } = setup();
  qan.recv('hello|1Q');
  await soon();
  assert.deepEqual(sent, ['nobody answers|1E']);
});

test('a cancelled question is answered all the same', async () => {
  const { qan, sent } = setup();
  qan.handle({ question: (_, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))) });
  qan.recv('x|7Q');
  qan.recv('7C');
  qan.recv('8C');
  await soon();
  assert.deepEqual(sent, ['CancelledError|7U']);
});

test('violations end the stream', () => {
  for (const bad of ['', 'x', 'x|1', '1Q', '1K', 'x|01Q', 'x|Q', 'x|1C', 'x|1Z', 'x|9007199254740993Q', '5K', 'x|5K', 'x|5E', 'x|5U']) {
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

test('the limit of questions that are handled at once', async () => {
  const { qan, sent } = setup();
  qan.handle({ question: () => new Promise(() => {}) });
  for (let number = 1; number <= 1000; number += 1) qan.recv(`x|${number}Q`);
  await soon();
  assert.deepEqual(sent, []);
  qan.recv('x|1001Q');
  await soon();
  assert.deepEqual(sent, ['too many questions|1001U']);
});

test('the end of the stream ends what was asked, and tells who answers', async () => {
  const { qan } = setup();
  let signal: AbortSignal | undefined;
  qan.handle({ question: (_, its) => ((signal = its), new Promise(() => {})) });
  qan.recv('x|1Q');
  const asked = rejection(qan.ask('a'));
  qan.end(new Error('over'));
  assert.equal(((await asked) as Error).message, 'over');
  assert.equal(signal?.aborted, true);
});
