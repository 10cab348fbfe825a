// The client behind networks of all kinds, in Chromium, against an edge and a core as processes of their own: strings
// of both directions arrive once, in order.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KINDS, launch } from './demo_page.mjs';
import { Pair } from './pair.mjs';
import { Proxy } from './proxy.mjs';
import { PAGES, Talk } from './talk.mjs';

/** How long the transport is switched all the time; 120 for the long form. */
const SWITCH_SECONDS = Number(process.env.SWITCH_SECONDS ?? 30);

let pair;
let proxy;
let browser;

before(async () => {
  [pair, browser] = await Promise.all([Pair.start(), launch()]);
  proxy = await Proxy.start(pair.port, PAGES);
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
  await pair?.stop();
});

beforeEach(() => proxy.clear());

async function withTalk(body) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/talk.html`);
  try {
    await body(new Talk(page), context);
  } finally {
    await context.close();
  }
}

for (const kind of KINDS) {
  test(`${kind} by itself`, () => withTalk(async (talk) => {
    await talk.start({ transport: kind }, 100);
    await talk.keepSaying(5);
    await talk.until((n) => n.received >= 500);
    const { transport, reconnects } = await talk.expectAll();
    assert.deepEqual([transport, reconnects], [kind, 0]);
    if (kind !== 'websocket') assert.equal(proxy.upgrades, 0);
    // The page, and a poll or response besides an upload: two, and one that is just being closed.
    if (kind !== 'websocket') assert(proxy.mostConnections <= 3, `${proxy.mostConnections} connections`);
  }));
}

test('WebSocket refused', () => withTalk(async (talk) => {
  proxy.websocket = 'refuse';
  await talk.start();
  await talk.keepSaying();
  await talk.until((n) => n.received >= 100);
  const { transport, first, reconnects } = await talk.expectAll();
  assert.deepEqual([transport, reconnects], ['http-stream', 0]);
  assert(first <= 3000, `${first} ms to the first string`);
}));

for (const how of ['hang', 'mute']) {
  test(`WebSocket: ${how}`, () => withTalk(async (talk) => {
    proxy.websocket = how;
    await talk.start();
    await talk.keepSaying();
    await talk.until((n) => n.received >= 200);
    const { transport, first, reconnects } = await talk.expectAll();
    assert.deepEqual([transport, reconnects], ['http-stream', 0]);
    assert(first <= 3000, `${first} ms to the first string`);
    console.log(`WebSocket ${how}: ${Math.round(first)} ms to the first string`);
  }));
}

for (const how of ['refuse', 'hang']) {
  test(`a buffering proxy, and WebSocket: ${how}`, () => withTalk(async (talk) => {
    Object.assign(proxy, { websocket: how, buffer: true });
    await talk.start();
    await talk.keepSaying();
    await talk.until((n) => n.received >= 200);
    const { transport, first } = await talk.expectAll();
    assert.equal(transport, 'long-poll');
    assert(first <= 5000, `${first} ms to the first string`);
    console.log(`buffering proxy, WebSocket ${how}: ${Math.round(first)} ms to the first string`);
  }));
}

test('WebSocket cut after 10 s: from the third on it is succeeded before that', () => withTalk(async (talk) => {
  proxy.cutWebSocketAfter = 10_000;
  await talk.start();
  await talk.keepSaying();
  const { reconnects } = await talk.until((n) => n.reconnects >= 2, 40_000);
  await sleep(12_000);
  const numbers = await talk.expectAll();
  assert.equal(numbers.reconnects, reconnects, JSON.stringify(numbers.changes));
  assert.equal(numbers.transport, 'websocket');
}));

test('an established WebSocket is blocked: the stream moves on', () => withTalk(async (talk) => {
  await talk.start();
  await talk.keepSaying();
  await talk.until((n) => n.received >= 20 && n.transport === 'websocket');
  proxy.websocket = 'hang';
  proxy.cutAll();
  const since = Date.now();
  await talk.until((n) => n.transport === 'http-stream');
  assert(Date.now() - since < 8000, `${Date.now() - since} ms`);
  proxy.websocket = 'pass';
  await talk.until((n) => n.transport === 'websocket');
  await talk.expectAll();
}));

test('offline for 30 s', () => withTalk(async (talk, context) => {
  await talk.start();
  await talk.keepSaying(100);
  await talk.until((n) => n.received >= 10);
  await context.setOffline(true);
  proxy.cutAll();
  await talk.until((n) => n.state === 'reconnecting');
  await sleep(30_000);
  await context.setOffline(false);
  const since = Date.now();
  await talk.until((n) => n.state === 'open' && n.received === n.sent);
  assert(Date.now() - since < 5000, `${Date.now() - since} ms after it was online`);
  await talk.expectAll();
}));

for (const who of ['edge', 'core']) {
  test(`the ${who} is killed, three times`, () => withTalk(async (talk) => {
    await talk.start();
    await talk.keepSaying();
    for (let kills = 0; kills < 3; kills += 1) {
      const { received } = await talk.numbers();
      await talk.until((n) => n.received >= received + 20);
      await pair[who].kill();
      await sleep(1000 * kills);
      await pair[who].run();
    }
    const { received } = await talk.numbers();
    await talk.until((n) => n.received >= received + 20);
    await talk.expectAll();
    await talk.until((n) => n.transport === 'websocket');
  }));
}

test(`switching all the time for ${SWITCH_SECONDS} s`, () => withTalk(async (talk) => {
  await talk.start();
  await talk.keepSaying(10);
  await talk.until((n) => n.received >= 10);
  const end = Date.now() + SWITCH_SECONDS * 1000;
  let switches = 0;
  while (Date.now() < end) {
    await talk.evaluate((kind) => talk.stream.switchTo(kind), KINDS[(switches += 1) % 3]);
    await sleep((switches * 37) % 700);
    if (switches % 10 === 0) proxy.cutAll();
  }
  const { sent } = await talk.expectAll();
  console.log(`${switches} switches, ${sent} strings each way`);
}));

for (const kind of KINDS) {
  test(`a page that leaves: what it sends at the last moment goes out (${kind})`, () => withTalk(async (talk) => {
    await talk.start({ transport: kind });
    await talk.until((n) => n.received === 1);
    proxy.posts = [];
    await talk.evaluate(() => {
      addEventListener('pagehide', () => talk.say(100));
      // Not before this call has returned.
      setTimeout(() => (location.href = '/talk.html?next'));
    });
    for (const start = Date.now(); ; await sleep(20)) {
      if (proxy.posts.some((body) => body.includes('"why":"leave"') && body.includes('string 100 \n'))) break;
      assert(Date.now() - start < 5000, proxy.posts.join('\n---\n'));
    }
    // Chromium hangs if it is closed on the way.
    await talk.page.waitForURL('**/talk.html?next');
  }));
}

test('a page that is shown again goes on', () => withTalk(async (talk) => {
  await talk.start();
  await talk.until((n) => n.received === 1);
  await talk.evaluate(() => {
    talk.say(10);
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
  });
  await sleep(1000);
  assert.equal((await talk.numbers()).state, 'reconnecting');
  await talk.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await talk.say(10);
  const { reconnects } = await talk.expectAll();
  assert.equal(reconnects, 1);
}));

test('what worked is remembered', () => withTalk(async (talk) => {
  proxy.websocket = 'refuse';
  await talk.start();
  await talk.until((n) => n.received === 1);
  proxy.upgrades = 0;
  await talk.page.reload();
  await talk.start();
  await talk.until((n) => n.received === 1);
  assert.equal(proxy.upgrades, 0);
}));

test('time to the first string: within 1.5 times that of a bare WebSocket', () => withTalk(async (talk) => {
  const measure = () => talk.evaluate(async () => {
    const bare = await new Promise((resolve) => {
      const began = performance.now();
      const socket = new WebSocket(`ws://${location.host}/_minerva/ws`);
      const id = Array.from({ length: 24 }, () => Math.floor(Math.random() * 36).toString(36)).join('');
      const hello = { ver: 2, tnum: 0, id, new: true, ming: true, maxia: 20, seenack: '|-1', eeds: null };
      socket.onopen = () => socket.send(`${JSON.stringify(hello)}H\n0N\nstring 0 \n`);
      socket.onmessage = ({ data }) => {
        if (!data.includes('string 0 \n')) return;
        resolve(performance.now() - began);
        socket.close();
      };
    });
    const ours = await new Promise((resolve) => {
      const began = performance.now();
      const stream = new Minerva.MinervaStream('/_minerva/');
      stream.onmessage = () => {
        resolve(performance.now() - began);
        stream.reset();
      };
      stream.send('string 0');
    });
    const echo = await new Promise((resolve) => {
      const began = performance.now();
      const socket = new WebSocket(`ws://${location.host}/echo`);
      socket.onopen = () => socket.send('string 0');
      socket.onmessage = () => {
        resolve(performance.now() - began);
        socket.close();
      };
    });
    return { bare, ours, echo };
  });
  await measure();
  const runs = [];
  for (let i = 0; i < 21; i += 1) runs.push(await measure());
  const median = (key) => runs.map((run) => run[key]).sort((a, b) => a - b)[10];
  const [bare, ours, echo] = ['bare', 'ours', 'echo'].map(median);
  console.log(`first string: ${ours.toFixed(1)} ms; a bare WebSocket to the same service ${bare.toFixed(1)} ms, to an echo without memory ${echo.toFixed(1)} ms`);
  assert(ours <= 1.5 * bare, `${ours} ms against ${bare} ms`);
}));
