// Renewal of tokens by the web client against an edge and a core as processes: tokens of 3 s are replaced under traffic, without
// a lost message and without a reconnect. RENEWAL_SECONDS and RENEWAL_STREAMS set the length; the long form has 1,000 renewals.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MinervaStream } from '../../sdk/web/dist/client3.mjs';
import { Deployment } from '../browsers/deployment.mjs';

const SECONDS = Number(process.env.RENEWAL_SECONDS ?? 7);
const STREAMS = Number(process.env.RENEWAL_STREAMS ?? 2);
/** Life of a token in s. The core asks for the next one after half of it. */
const LIFE = 3;
const secret = randomBytes(32);

let deployment;
let dir;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'minerva-renewal-'));
  writeFileSync(join(dir, 'secret'), secret);
  const coreOptions = ['--max-version', '3', '--jwt-hs256-file', join(dir, 'secret'), '--jwt-leeway', '2s', '--jwt-issuer', 'test', '--jwt-audience', 'chat'];
  deployment = await Deployment.start(undefined, ['--max-version', '3'], coreOptions);
});

after(async () => {
  await deployment?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function token() {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ iss: 'test', aud: 'chat', sub: 'ann', exp: Math.ceil(Date.now() / 1000) + LIFE })}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

/** Opens a stream whose calls of `getToken` are counted; they fail once `isOver`. */
function open(transport) {
  const one = { calls: 0, sent: 0, received: [], isOver: false };
  const getToken = async () => {
    if (one.isOver) throw new Error('signed out');
    one.calls += 1;
    return token();
  };
  const url = `http://127.0.0.1:${deployment.port}/_minerva/`;
  one.stream = new MinervaStream(url, { transport, getToken });
  one.stream.onmessage = ({ data }) => one.received.push(data);
  one.ended = new Promise((resolve) => (one.stream.onend = ({ data }) => resolve(data)));
  return one;
}

async function until(condition, what) {
  for (const start = Date.now(); !condition(); ) {
    if (Date.now() - start > 30_000) assert.fail(`not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const KINDS = ['http-stream', 'long-poll', ...(globalThis.WebSocket ? ['websocket'] : [])];

test('tokens of 3 s are renewed under traffic, and a stream without renewal ends with the reason', { timeout: SECONDS * 1000 + 90_000 }, async () => {
  const all = KINDS.flatMap((kind) => Array.from({ length: STREAMS }, () => open(kind)));
  const end = Date.now() + SECONDS * 1000;
  while (Date.now() < end) {
    for (const one of all) one.stream.send(`${one.sent++}`).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await until(() => all.every(({ received, sent, stream }) => received.length >= sent || stream.end), 'all messages returned');
  for (const { stream, received, sent, calls } of all) {
    assert.deepEqual([stream.end, stream.version], [null, 3]);
    assert.deepEqual(received, Array.from({ length: sent }, (_, number) => `${number}`));
    assert.equal(stream.counters.reconnects, 0);
    // One call precedes the hello; a token lasts for at most 4 s.
    assert(calls - 1 >= Math.floor(SECONDS / (LIFE + 1)), `${calls} calls in ${SECONDS} s`);
  }
  const renewals = all.reduce((sum, { calls }) => sum + calls - 1, 0);
  console.log(`${all.length} streams, ${renewals} renewals, ${all.reduce((sum, { sent }) => sum + sent, 0)} messages: 0 lost, 0 reconnects`);
  for (const one of all) one.isOver = true;
  for (const { ended } of all) {
    const { reason, by } = await ended;
    assert.deepEqual([reason, by], ['token expired', 'server']);
  }
});
