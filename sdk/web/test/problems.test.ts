/** Reasons for which a stream is not open: classification, report and pace. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import { MinervaStream, type Problem } from '../src/client.js';
import { diagnose } from '../src/diagnosis.js';
import { StreamMachine } from '../src/stream.js';
import { CERTAIN_TIME, ProblemReport, REPORT_DELAY } from '../src/stream/problem_report.js';
import { local, MAX_PAUSE, MIN_HALT_TIME, refusalOf, type Refusal } from '../src/stream/refusal.js';
import type { Kind, Output, TransportOutcome } from '../src/stream/types.js';
import { endIn, machine, start, written } from './machine.js';
import { Random } from './random.js';
import { ID } from './simulation.js';

const SCHEDULES = Number(process.env['SCHEDULES'] ?? 1_500);
const TEXT = 'text/plain; charset=utf-8';
const ORIGIN: Refusal = { ...local('origin', 'this origin may not use this service'), action: 'halt' };

function refused(status: number, text = '', contentType: string | null = TEXT, retryAfter: string | null = null): Refusal {
  return refusalOf({ status, text, contentType, retryAfter });
}

/** Returns the problems among outputs. */
function problems(outputs: readonly Output[]): (Problem | null)[] {
  return outputs.flatMap((output) => (output.do === 'problem' ? [output.problem] : []));
}

test('refusals of an edge have its code and its text', () => {
  for (const [status, text, code, action] of [
    [400, 'a transport begins with a hello frame and a newline', 'hello', 'halt'],
    [403, 'this origin may not use this service', 'origin', 'halt'],
    [404, 'there is nothing here: clients use /_minerva/ws and /_minerva/io/', 'service', 'halt'],
    [421, 'this server is not for this host name', 'service', 'halt'],
    [429, 'too many connections of this address', 'busy', 'retry'],
    [500, 'the link to the core failed twice', 'unavailable', 'retry'],
    [503, 'unserved', 'unserved', 'retry'],
    [503, 'no application', 'unserved', 'retry'],
    [503, 'this edge is draining', 'draining', 'retry'],
    [503, 'too many streams', 'busy', 'retry'],
    [503, 'busy', 'busy', 'retry'],
    [503, 'no core has answered for this stream', 'unavailable', 'retry'],
  ] as const) {
    assert.deepEqual(refused(status, `${text}\n`), { code, title: text, action, after: 0 });
  }
});

test('statuses of other servers are not taken for refusals of an edge', () => {
  for (const [status, code] of [[403, 'proxy'], [404, 'proxy'], [413, 'proxy'], [502, 'proxy'], [503, 'unavailable'], [429, 'busy']] as const) {
    for (const contentType of ['text/html', null, 'text/plainer']) {
      const refusal = refused(status, '<h1>this origin may not use this service</h1>', contentType);
      assert.deepEqual([refusal.code, refusal.action], [code, 'retry']);
      assert.match(refusal.title, new RegExp(`HTTP status ${status}`));
    }
  }
});

test('Retry-After is bounded, and nonsense counts as none', () => {
  for (const [value, after] of [['3', 3000], ['299', 299_000], ['300', 300_000], ['301', 300_000], ['x', 0], [null, 0]] as const) {
    assert.equal(refused(503, 'busy', TEXT, value).after, after);
  }
});

test('problem objects of an edge with wire version 3 have the code and the reaction, and an unknown one slows', () => {
  const parse = (text: string): Refusal => refused(503, text, 'application/problem+json', '2');
  const object = { status: 503, code: 'unserved', title: 'no instance serves this service now', do: 'retry' };
  for (const [action, expected] of [['retry', 'retry'], ['halt', 'halt'], ['end', 'end'], ['fallback', 'fallback'], ['later', 'halt']] as const) {
    const refusal = parse(JSON.stringify({ ...object, do: action }));
    assert.deepEqual([refusal.code, refusal.title, refusal.action, refusal.after], [object.code, object.title, expected, 2000]);
  }
  assert.equal(parse(JSON.stringify({ ...object, after: 700 })).after, 700);
  for (const [after, expected] of [[300_000, 300_000], [300_001, 300_000], [null, 2000]] as const) {
    assert.equal(parse(JSON.stringify({ ...object, after })).after, expected);
  }
  for (const bad of ['', '{', 'null']) assert.throws(() => parse(bad));
});

test('problem objects of other servers come from a proxy', () => {
  for (const object of [{ title: 'Forbidden', status: 403 }, { code: 403, title: 'x' }, { code: 'x', title: null }, {}, 1]) {
    const refusal = refused(403, JSON.stringify(object), 'application/problem+json', '2');
    assert.deepEqual(refusal, { code: 'proxy', title: 'HTTP status 403', action: 'retry', after: 2000 });
  }
});

test('a time of a problem object that is no number is ignored', () => {
  const stream = machine('http-stream');
  start(stream);
  const text = JSON.stringify({ code: 'busy', title: 'x', do: 'retry', after: 'soon' });
  stream.onClosed(0, 'unavailable', 10, refused(503, text, 'application/problem+json'));
  assert.equal(opened(stream, 6_000), 1);
});

test('a certain cause is reported at once, an uncertain one only if it lasts', () => {
  const certain = new ProblemReport();
  certain.onFailed(ORIGIN, 100);
  assert.equal(problems(certain.update(false, 400, 100))[0]?.after, 300);
  assert.deepEqual(certain.update(false, 900, 200), [], 'once');
  assert.deepEqual(problems(certain.update(true, 0, 300)), [null]);
  const uncertain = new ProblemReport();
  uncertain.onFailed(local('network', 'cut'), 100);
  uncertain.onFailed(local('network', 'cut'), 1000);
  assert.deepEqual(uncertain.update(false, 0, 100 + REPORT_DELAY - 1), []);
  assert.equal(uncertain.dueAt, 100 + REPORT_DELAY);
  assert.equal(problems(uncertain.update(false, 0, 100 + REPORT_DELAY))[0]?.code, 'network');
});

test('a cause without a response does not hide one with a response, for a time', () => {
  for (const [wait, code] of [[CERTAIN_TIME - 1, 'busy'], [CERTAIN_TIME, 'network'], [CERTAIN_TIME + 1, 'network']] as const) {
    const report = new ProblemReport();
    report.onFailed(local('busy', 'too many'), 0);
    report.update(false, 0, 0);
    report.onFailed(local('network', 'cut'), wait);
    report.update(false, 0, wait);
    assert.equal(report.current?.code, code);
  }
});

test('random causes: every report is a change, and an open stream has no problem', () => {
  const causes = [ORIGIN, local('busy', 'a'), local('busy', 'b'), local('network', 'x'), local('timeout', 'y'), local('frame', 'z')];
  for (let seed = 0; seed < SCHEDULES; seed += 1) {
    const random = new Random(seed);
    const report = new ProblemReport();
    let last = null as Problem | null;
    for (let now = 0, i = 0; i < 40; i += 1, now += random.below(3_000)) {
      const cause = causes[random.below(causes.length)];
      if (cause && random.chance(0.6)) report.onFailed(cause, now);
      if (cause && random.chance(0.1)) report.onDiagnosed(cause);
      const isOpen = random.chance(0.2);
      for (const problem of problems(report.update(isOpen, now + 50, now))) {
        assert(problem?.code !== last?.code || problem?.title !== last?.title, `seed ${seed}: a repetition`);
        last = problem;
      }
      assert.deepEqual(report.current, last, `seed ${seed}`);
      if (isOpen) assert.equal(report.current, null, `seed ${seed}`);
      else assert(report.dueAt > now || report.current !== null, `seed ${seed}: a due cause is not reported`);
    }
  }
});

/** Opens the next transport at `now` and returns its key. */
function opened(stream: StreamMachine, now: number): number | undefined {
  return start(stream, now).find((output) => output.do === 'open')?.key;
}

test('a refusal before the stream exists slows the attempts; page events do not, a change of the network does', () => {
  const stream = machine('http-stream');
  assert.equal(opened(stream, 0), 0);
  stream.onClosed(0, 'failed', 10, ORIGIN);
  const [problem] = problems(stream.drain(10));
  assert.equal(problem?.code, 'origin');
  assert((problem?.after ?? 0) >= MIN_HALT_TIME, `${problem?.after}`);
  for (const now of [11, 1_000, MIN_HALT_TIME]) {
    stream.retryNow(false, now);
    assert.equal(opened(stream, now), undefined, `${now}`);
  }
  stream.retryNow(true, MIN_HALT_TIME + 1);
  assert.equal(opened(stream, MIN_HALT_TIME + 1), 1);
  stream.recvFrames(1, [';)]}^', 'C', 'beat^'], 300_000);
  assert.deepEqual(problems(stream.drain(300_000)), [null]);
  assert.equal(stream.problem, null);
});

/** Waits for the next attempt, lets it fail, and returns its time. */
function failNext(stream: StreamMachine, now: number, refusal: Refusal, outcome: TransportOutcome = 'failed'): number {
  for (;;) {
    const key = opened(stream, now);
    if (key !== undefined) {
      stream.onClosed(key, outcome, now, refusal);
      return now;
    }
    now = stream.pollTimeout() ?? assert.fail('no further attempt');
  }
}

test('the pause after refusals doubles from 5 s to 5 min, and any other outcome resets it', () => {
  const stream = machine('http-stream');
  let at = failNext(stream, 0, ORIGIN);
  const pauseAfter = (refusal: Refusal): number => -at + (at = failNext(stream, at, refusal));
  for (const pause of [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, MAX_PAUSE, MAX_PAUSE]) {
    assert.equal(pauseAfter(ORIGIN), pause * 1.125);
  }
  assert.equal(pauseAfter(local('network', 'cut')), MAX_PAUSE * 1.125);
  assert(pauseAfter(ORIGIN) <= 5_000);
  assert.equal(pauseAfter(local('', 'not read')), MIN_HALT_TIME * 1.125);
  assert(pauseAfter(ORIGIN) <= 5_000);
  assert.equal(pauseAfter(ORIGIN), 2 * MIN_HALT_TIME * 1.125, 'a response that was not read is no other outcome');
});

test('with several URLs a refusal or a Retry-After of each one is required for a pause', () => {
  const busy = { ...local('busy', 'too many'), after: 60_000 };
  for (const [refusal, outcome, pause] of [[ORIGIN, 'failed', MIN_HALT_TIME], [busy, 'unavailable', 60_000]] as const) {
    const stream = machine('http-stream');
    stream.urls = 3;
    let at = failNext(stream, 0, refusal, outcome);
    const next = (): number => -at + (at = failNext(stream, at, refusal, outcome));
    const pauses = [next(), next(), next()];
    assert(pauses.slice(0, 2).every((each) => each < 1_000), `${pauses}`);
    assert.equal(pauses[2], pause * 1.125);
  }
});

test('refusals before the stream exists do not delay the reconnect of the live stream', () => {
  const busy = { ...local('busy', 'too many'), after: 200_000 };
  for (const [refusal, outcome] of [[ORIGIN, 'failed'], [busy, 'unavailable']] as const) {
    const stream = new StreamMachine({ id: ID, kind: 'auto', random: () => 0.5 });
    const outputs = stream.drain(0);
    const socket = outputs.find((output) => output.do === 'open');
    assert(socket?.kind === 'websocket');
    const http = stream.drain(600).find((output) => output.do === 'open');
    assert(http?.kind === 'http-stream');
    stream.onClosed(http.key, outcome, 700, refusal);
    stream.drain(700);
    stream.onOpened(socket.key, 800);
    stream.drain(800);
    stream.recvFrames(socket.key, [';)]}^', 'C', 'beat^'], 900);
    stream.drain(900);
    assert.equal(stream.state, 'open');
    stream.onClosed(socket.key, 'failed', 5_000);
    stream.drain(5_000);
    assert(opened(stream, 10_001) !== undefined);
  }
});

test('after the stream exists a refusal is a failure of the transport', () => {
  const stream = machine('http-stream');
  start(stream);
  stream.recvFrames(0, [';)]}^', 'C', 'beat^'], 10);
  stream.drain(10);
  stream.onClosed(0, 'failed', 5_000, ORIGIN);
  assert.equal(problems(stream.drain(5_000))[0]?.code, 'origin');
  assert.equal(opened(stream, 11_000), 1);
  assert.equal(stream.state, 'reconnecting');
});

test('a blocked WebSocket is a problem only if no other kind may be used', () => {
  const blocked = local('blocked', 'the WebSocket is blocked');
  for (const [kind, codes] of [['auto', []], ['websocket', ['blocked']]] as const) {
    const stream = new StreamMachine({ id: ID, kind: kind as Kind | 'auto', random: () => 0.5 });
    const [first] = stream.drain(0);
    assert(first?.do === 'open' && first.kind === 'websocket');
    stream.onClosed(first.key, 'failed', 10, blocked);
    assert.deepEqual(problems(stream.drain(10)).map((problem) => problem?.code), codes);
  }
});

test('a transport without an answer is reported as timeout', () => {
  const stream = machine('http-stream');
  start(stream);
  const outputs = [];
  for (let now = 0; now < 40_000; now += 100) outputs.push(...stream.drain(now));
  assert.deepEqual(problems(outputs).map((problem) => problem?.code), ['timeout']);
});

test('a refused hello is reported, and slows attempts over HTTP only: a proxy may damage WebSockets', () => {
  for (const [kind, next] of [['websocket', 1], ['long-poll', undefined]] as const) {
    const stream = machine(kind);
    start(stream);
    stream.recvFrames(0, ['invalid_frame_type_or_argumentsK'], 10);
    assert.equal(problems(stream.drain(10))[0]?.code, 'hello');
    assert.equal(opened(stream, 4_500), next);
  }
});

test('a reset after a refusal of all hellos ends the stream at once: the server has no stream', () => {
  for (const [refusal, isOver] of [[ORIGIN, true], [local('network', 'cut'), false]] as const) {
    const stream = machine('http-stream');
    start(stream);
    stream.onClosed(0, 'failed', 10, refusal);
    stream.drain(10);
    stream.reset('bye', 20);
    assert.equal(endIn(stream.drain(20)) !== undefined, isOver);
  }
  const stream = machine('http-stream');
  start(stream);
  stream.reset('bye', 5);
  stream.onClosed(0, 'failed', 10, ORIGIN);
  assert.deepEqual(endIn(stream.drain(10)), { reason: 'bye', applicationLevel: true, by: 'client' });
});

test('a reset before the first answer reports no problem', () => {
  const stream = machine('http-stream');
  start(stream);
  stream.reset('bye', 5);
  stream.onClosed(0, 'failed', 10, local('busy', 'too many streams'));
  const outputs = [...stream.drain(10), ...start(stream, 1_000)];
  assert.deepEqual([problems(outputs), endIn(outputs)], [[], undefined]);
  assert(written(outputs).includes('bye|1!'), 'the reset is repeated soon');
});

const CONFIRM = (response: ServerResponse): void => {
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.end(';)]}^\nover|1!\n');
};
let respond = CONFIRM;

/** Runs `body` against a server that answers every request by `answer`, and returns the number of requests. */
async function withAnswers(answer: (response: ServerResponse) => void, body: (url: string) => Promise<void>): Promise<number> {
  let requests = 0;
  respond = answer;
  const server = createServer((_, response) => {
    requests += 1;
    respond(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await body(`http://127.0.0.1:${server.address().port}/_minerva/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return requests;
}

/** Returns the first problem of a stream to `url`, and ends the stream. */
async function firstProblem(url: string, transport: Kind | 'auto' = 'auto'): Promise<[Problem | null, string[]]> {
  const lines: string[] = [];
  const { warn } = console;
  console.warn = (line: string) => lines.push(line);
  const stream = new MinervaStream(url, { transport });
  try {
    const problem = await new Promise<Problem | null>((resolve) => (stream.onproblem = ({ data }) => resolve(data)));
    assert.deepEqual(stream.problem, problem);
    return [problem, lines];
  } finally {
    console.warn = warn;
    respond = CONFIRM;
    stream.reset();
    await new Promise((resolve) => (stream.onend = resolve));
  }
}

for (const kind of ['auto', 'http-stream', 'long-poll'] as const) {
  test(`${kind}: a refused origin is an event, a property and one console line`, async () => {
    const requests = await withAnswers(
      (response) => {
        response.writeHead(403, { 'content-type': TEXT });
        response.end('this origin may not use this service\n');
      },
      async (url) => {
        const [problem, lines] = await firstProblem(url, kind);
        assert.deepEqual([problem?.code, problem?.title], ['origin', 'this origin may not use this service']);
        assert.deepEqual(lines.map((line) => /\(origin\)\. Next attempt in \d+ s\./.test(line)), [true]);
      },
    );
    assert(requests <= 3, `${requests}`);
  });
}

test('a login page in place of the service is reported, and its lines are no messages', () =>
  withAnswers(
    (response) => {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end('<html> \nLog in \nC\n</html>\n');
    },
    async (url) => assert.equal((await firstProblem(url))[0]?.code, 'proxy'),
  ).then(() => {}));

test('diagnosis: refusal, missing permission for cookies, unreachable host', async () => {
  const text = (status: number, text: string) => (response: ServerResponse) => {
    response.writeHead(status, { 'content-type': TEXT });
    response.end(text);
  };
  await withAnswers(text(403, 'this origin may not use this service\n'), async (url) => {
    assert.equal((await diagnose(url, 'include'))?.code, 'origin');
  });
  await withAnswers(text(400, 'a transport begins with a hello frame and a newline\n'), async (url) => {
    const refusal = await diagnose(url, 'include');
    assert.equal(refusal?.code, 'blocked');
    assert.equal(await diagnose(url, 'same-origin'), null);
  });
  assert.equal((await diagnose('http://127.0.0.1:9/', 'same-origin'))?.code, 'network');
});

test('diagnosis: a host that only an opaque request reaches is blocked for this page', async () => {
  const { fetch } = globalThis;
  globalThis.fetch = (_, init) => (init?.mode === 'no-cors' ? Promise.resolve(new Response()) : Promise.reject(new TypeError('CORS')));
  try {
    assert.equal((await diagnose('http://minerva.example/', 'same-origin'))?.code, 'blocked');
  } finally {
    globalThis.fetch = fetch;
  }
});
