// The basic things in Firefox ESR, driven over BiDi, and the README's example there and in Chromium.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import puppeteer from 'puppeteer-core';
import { KINDS, launch } from './demo_page.mjs';
import { EXAMPLE, EXAMPLE_LINES } from './example.mjs';
import { Pair } from './pair.mjs';
import { Proxy } from './proxy.mjs';
import { PAGES, Talk } from './talk.mjs';

let pair;
let proxy;
let firefox;

before(async () => {
  [pair, firefox] = await Promise.all([
    Pair.start(),
    puppeteer.launch({
      browser: 'firefox',
      executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr',
      headless: true,
    }),
  ]);
  proxy = await Proxy.start(pair.port, { ...PAGES, '/example.html': EXAMPLE });
});

after(async () => {
  await firefox?.close();
  await proxy?.stop();
  await pair?.stop();
});

beforeEach(() => proxy.clear());

async function withTalk(body) {
  const context = await firefox.createBrowserContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/talk.html`);
  try {
    await body(new Talk(page), context);
  } finally {
    await context.close();
  }
}

for (const kind of KINDS) {
  test(`Firefox: ${kind} by itself, and to the others`, () => withTalk(async (talk) => {
    await talk.start({ transport: kind }, 50);
    await talk.keepSaying(10);
    await talk.until((n) => n.received >= 200 && n.transport === kind);
    for (const other of [...KINDS.filter((each) => each !== kind), kind]) {
      await talk.evaluate((other) => talk.stream.switchTo(other), other);
      const { received } = await talk.until((n) => n.transport === other);
      await talk.until((n) => n.received >= received + 20);
    }
    await talk.evaluate(() => talk.stream.cut());
    await talk.expectAll();
  }));
}

for (const [websocket, buffer, kind] of [['refuse', false, 'http-stream'], ['hang', false, 'http-stream'], ['refuse', true, 'long-poll']]) {
  test(`Firefox: WebSocket ${websocket}${buffer ? ', a buffering proxy' : ''}`, () => withTalk(async (talk) => {
    Object.assign(proxy, { websocket, buffer });
    await talk.start();
    await talk.keepSaying();
    await talk.until((n) => n.received >= 100);
    const { transport, first } = await talk.expectAll();
    assert.equal(transport, kind);
    assert(first <= (buffer ? 5000 : 3000), `${first} ms to the first string`);
  }));
}

test('Firefox: what a page sends at the last moment goes out', () => withTalk(async (talk) => {
  await talk.start();
  await talk.until((n) => n.received === 1);
  await talk.evaluate(() => addEventListener('pagehide', () => talk.say(10)));
  await talk.page.goto(`${proxy.url}/example.html`);
  for (const start = Date.now(); ; ) {
    if (proxy.posts.some((body) => body.includes('"why":"leave"') && body.includes('string 10 \n'))) break;
    assert(Date.now() - start < 5000, proxy.posts.join('\n---\n'));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}));

async function runExample(page) {
  await page.goto(`${proxy.url}/example.html`);
  await page.waitForFunction(() => document.getElementById('out').textContent === 'Hello!');
  await page.waitForFunction(() => document.getElementById('out').title !== '');
}

test('the example of the README is ten lines, and works in Firefox and in Chromium', async () => {
  assert(EXAMPLE_LINES <= 10, `${EXAMPLE_LINES}`);
  await runExample(await firefox.newPage());
  const chromium = await launch();
  await runExample(await chromium.newPage());
  await chromium.close();
});
