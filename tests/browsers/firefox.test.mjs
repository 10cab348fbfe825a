// Core behaviour of the client in Firefox ESR over WebDriver BiDi, and the README example in Firefox and Chromium.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import puppeteer from 'puppeteer-core';
import { KINDS, launch } from './demo_page.mjs';
import { EXAMPLE, EXAMPLE_LINES } from './example.mjs';
import { Deployment } from './deployment.mjs';
import { FaultProxy } from './fault_proxy.mjs';
import { PAGES, onEchoPage } from './echo_page.mjs';

let deployment;
let proxy;
let firefox;

before(async () => {
  [deployment, firefox] = await Promise.all([
    Deployment.start(),
    puppeteer.launch({
      browser: 'firefox',
      executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
      headless: true,
    }),
  ]);
  proxy = await FaultProxy.start(deployment.port, { ...PAGES, '/example.html': EXAMPLE });
});

after(async () => {
  await firefox?.close();
  await proxy?.stop();
  await deployment?.stop();
});

beforeEach(() => proxy.clear());

const withEchoPage = async (body) => onEchoPage(await firefox.createBrowserContext(), proxy, body);

for (const kind of KINDS) {
  test(`Firefox: ${kind}, and switching to the other kinds`, () => withEchoPage(async (echo) => {
    await echo.start({ transport: kind }, 50);
    await echo.sendEvery(10);
    await echo.until((n) => n.received >= 200 && n.transport === kind);
    for (const other of [...KINDS.filter((each) => each !== kind), kind]) {
      await echo.evaluate((other) => client.stream.switchTo(other), other);
      const { received } = await echo.until((n) => n.transport === other);
      await echo.until((n) => n.received >= received + 20);
    }
    await echo.evaluate(() => client.stream.cut());
    await echo.expectAll();
  }));
}

for (const [websocket, buffer, kind] of [
  ['refuse', 0, 'http-stream'],
  ['hang', 0, 'http-stream'],
  ['refuse', Infinity, 'long-poll'],
]) {
  test(`Firefox: WebSocket ${websocket}${buffer ? ', a buffering proxy' : ''}`, () => withEchoPage(async (echo) => {
    Object.assign(proxy, { websocket, buffer });
    await echo.start();
    await echo.sendEvery();
    await echo.until((n) => n.received >= 100);
    const { transport, first } = await echo.expectAll();
    assert.equal(transport, kind);
    assert(first <= (buffer ? 5000 : 3000), `${first} ms to the first message`);
  }));
}

test('Firefox: messages sent at page unload arrive', () => withEchoPage(async (echo) => {
  await echo.start();
  await echo.until((n) => n.received === 1);
  await echo.evaluate(() => addEventListener('pagehide', () => client.send(10)));
  await echo.page.goto(`${proxy.url}/example.html`);
  for (const start = Date.now(); ; ) {
    if (proxy.posts.some((body) => body.includes('"why":"leave"') && body.includes('message 10 \n'))) break;
    assert(Date.now() - start < 5000, proxy.posts.join('\n---\n'));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}));

for (const kind of KINDS) {
  test(`Firefox: ${kind}: a page resets and navigates away in the same turn`, () => withEchoPage(async (echo) => {
    await echo.start({ transport: kind });
    await echo.until((n) => n.received === 1);
    const metric = 'minerva_core_streams_ended_total{by="client"}';
    const before = await deployment.coreMetric(metric);
    await echo.evaluate(() => {
      // Deferred, so that this call returns first.
      setTimeout(() => {
        client.stream.reset('gone');
        location.href = '/example.html';
      });
    });
    for (const start = Date.now(); (await deployment.coreMetric(metric)) <= before; ) {
      assert(Date.now() - start < 5000, 'the stream has not ended');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }));
}

async function runExample(page) {
  await page.goto(`${proxy.url}/example.html`);
  await page.waitForFunction(() => document.getElementById('out').textContent === 'Hello!');
  await page.waitForFunction(() => document.getElementById('out').title !== '');
}

test('the README example has at most ten lines and works in Firefox and Chromium', async () => {
  assert(EXAMPLE_LINES <= 10, `${EXAMPLE_LINES}`);
  await runExample(await firefox.newPage());
  const chromium = await launch();
  await runExample(await chromium.newPage());
  await chromium.close();
});
