// The client in Chromium behind faulty networks, against an edge and a core as processes: messages arrive exactly once
// and in order in both directions. The file networks.test.mjs has further networks, with measurements.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KINDS, launch } from './demo_page.mjs';
import { Deployment } from './deployment.mjs';
import { FaultProxy } from './fault_proxy.mjs';
import { PAGES, onEchoPage } from './echo_page.mjs';

/** Duration in s of the test that switches transports continuously; 120 in the long form. */
const SWITCH_SECONDS = Number(process.env.SWITCH_SECONDS ?? 15);

let deployment;
let proxy;
let browser;

before(async () => {
  [deployment, browser] = await Promise.all([Deployment.start(), launch()]);
  proxy = await FaultProxy.start(deployment.port, PAGES);
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
  await deployment?.stop();
});

beforeEach(() => proxy.clear());

const withEchoPage = async (body) => onEchoPage(await browser.newContext(), proxy, body);

for (const kind of KINDS) {
  test(`${kind} by itself`, () => withEchoPage(async (echo) => {
    await echo.start({ transport: kind }, 100);
    await echo.sendEvery(5);
    await echo.until((n) => n.received >= 500);
    const { transport, reconnects } = await echo.expectAll();
    assert.deepEqual([transport, reconnects], [kind, 0]);
    if (kind !== 'websocket') assert.equal(proxy.upgrades, 0);
    // One response and one upload, and one connection that is closing.
    if (kind !== 'websocket') assert(proxy.mostConnections <= 3, `${proxy.mostConnections} connections`);
  }));
}

test('WebSocket: mute', () => withEchoPage(async (echo) => {
  proxy.websocket = 'mute';
  await echo.start();
  await echo.sendEvery();
  await echo.until((n) => n.received >= 200);
  const { transport, first, reconnects } = await echo.expectAll();
  assert.deepEqual([transport, reconnects], ['http-stream', 0]);
  assert(first <= 3000, `${first} ms to the first message`);
}));

test('a shared worker that starts slowly: HTTP begins without it and moves to it', () => withEchoPage(async (echo) => {
  Object.assign(proxy, { websocket: 'mute', workerDelay: 2500 });
  await echo.start();
  await echo.sendEvery();
  await echo.until((n) => n.transport === 'http-stream');
  assert(!proxy.paths.includes('/_minerva/mux/'));
  await echo.until(() => proxy.paths.includes('/_minerva/mux/'), 5000);
  await echo.until((n) => n.received >= 300);
  const { first, reconnects, changes, transport } = await echo.expectAll();
  assert(first <= 3000, `${first} ms to the first message`);
  assert.deepEqual([transport, reconnects], ['http-stream', 0], changes.join());
  assert(!changes.some((change) => change.startsWith('long-poll')), changes.join());
  const direct = proxy.paths.lastIndexOf('/_minerva/io/');
  assert(proxy.paths.length > direct + 10, 'later requests have connections of their own');
}));

test('an established WebSocket is blocked: the stream moves on', () => withEchoPage(async (echo) => {
  await echo.start();
  await echo.sendEvery();
  await echo.until((n) => n.received >= 20 && n.transport === 'websocket');
  proxy.websocket = 'hang';
  proxy.cutAll();
  const since = Date.now();
  await echo.until((n) => n.transport === 'http-stream');
  assert(Date.now() - since < 8000, `${Date.now() - since} ms`);
  proxy.websocket = 'pass';
  await echo.until((n) => n.transport === 'websocket');
  await echo.expectAll();
}));

for (const part of ['edge', 'core']) {
  test(`the ${part} is killed three times`, () => withEchoPage(async (echo) => {
    await echo.start();
    await echo.sendEvery();
    for (let kills = 0; kills < 3; kills += 1) {
      const { received } = await echo.numbers();
      await echo.until((n) => n.received >= received + 20);
      await deployment[part].kill();
      await sleep(1000 * kills);
      await deployment[part].run();
    }
    const { received } = await echo.numbers();
    await echo.until((n) => n.received >= received + 20);
    await echo.expectAll();
    // A WebSocket that was blamed for two of the kills is probed a minute after the second one.
    await echo.until((n) => n.transport === 'websocket', 90_000);
  }));
}

test(`continuous switching for ${SWITCH_SECONDS} s`, () => withEchoPage(async (echo) => {
  await echo.start();
  await echo.sendEvery(10);
  await echo.until((n) => n.received >= 10);
  const end = Date.now() + SWITCH_SECONDS * 1000;
  let switches = 0;
  while (Date.now() < end) {
    await echo.evaluate((kind) => client.stream.switchTo(kind), KINDS[(switches += 1) % 3]);
    await sleep((switches * 37) % 700);
    if (switches % 10 === 0) proxy.cutAll();
  }
  const { sent } = await echo.expectAll();
  console.log(`${switches} switches, ${sent} messages each way`);
}));

for (const kind of KINDS) {
  test(`messages sent at page unload arrive (${kind})`, () => withEchoPage(async (echo) => {
    await echo.start({ transport: kind });
    await echo.until((n) => n.received === 1);
    proxy.posts = [];
    await echo.evaluate(() => {
      addEventListener('pagehide', () => client.send(100));
      // Deferred, so that this call returns first.
      setTimeout(() => (location.href = '/echo.html?next'));
    });
    for (const start = Date.now(); ; await sleep(20)) {
      if (proxy.posts.some((body) => body.includes('"why":"leave"') && body.includes('message 100 \n'))) break;
      assert(Date.now() - start < 5000, proxy.posts.join('\n---\n'));
    }
    // Closing Chromium during a navigation hangs.
    await echo.page.waitForURL('**/echo.html?next');
  }));
}

test('a page restored from the back-forward cache resumes', () => withEchoPage(async (echo) => {
  await echo.start();
  await echo.until((n) => n.received === 1);
  await echo.evaluate(() => {
    client.send(10);
    dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));
  });
  await sleep(1000);
  assert.equal((await echo.numbers()).state, 'reconnecting');
  await echo.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await echo.send(10);
  const { reconnects } = await echo.expectAll();
  assert.equal(reconnects, 1);
}));

test('the working kind is remembered', () => withEchoPage(async (echo) => {
  proxy.websocket = 'refuse';
  await echo.start();
  await echo.until((n) => n.received === 1);
  proxy.upgrades = 0;
  await echo.page.reload();
  await echo.start();
  await echo.until((n) => n.received === 1);
  assert.equal(proxy.upgrades, 0);
}));

test('time to the first message: within 1.5 times that of a bare WebSocket', () => withEchoPage(async (echo) => {
  const measure = () => echo.evaluate(async () => {
    const bare = await new Promise((resolve) => {
      const began = performance.now();
      const socket = new WebSocket(`ws://${location.host}/_minerva/ws`);
      const id = Array.from({ length: 24 }, () => Math.floor(Math.random() * 36).toString(36)).join('');
      const hello = { ver: 2, tnum: 0, id, new: true, ming: true, maxia: 20, seenack: '|-1', eeds: null };
      socket.onopen = () => socket.send(`${JSON.stringify(hello)}H\n0N\nmessage 0 \n`);
      socket.onmessage = ({ data }) => {
        if (!data.includes('message 0 \n')) return;
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
      stream.send('message 0');
    });
    const reference = await new Promise((resolve) => {
      const began = performance.now();
      const socket = new WebSocket(`ws://${location.host}/echo`);
      socket.onopen = () => socket.send('message 0');
      socket.onmessage = () => {
        resolve(performance.now() - began);
        socket.close();
      };
    });
    return { bare, ours, reference };
  });
  await measure();
  const runs = [];
  for (let i = 0; i < 21; i += 1) runs.push(await measure());
  const median = (key) => runs.map((run) => run[key]).sort((a, b) => a - b)[10];
  const [bare, ours, reference] = ['bare', 'ours', 'reference'].map(median);
  const [bareMs, oursMs, referenceMs] = [bare, ours, reference].map((ms) => `${ms.toFixed(1)} ms`);
  console.log(`first message: ${oursMs}; a bare WebSocket to the same service ${bareMs}, to a bare echo ${referenceMs}`);
  assert(ours <= 1.5 * bare, `${ours} ms against ${bare} ms`);
}));
