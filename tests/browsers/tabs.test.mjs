// Many tabs of one origin share a stream over HTTP/1.1, where browsers open at most six connections per host.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { KINDS, launch } from './demo_page.mjs';
import { Deployment } from './deployment.mjs';
import { FaultProxy } from './fault_proxy.mjs';

let deployment;
let proxy;
let browser;

before(async () => {
  [deployment, browser] = await Promise.all([Deployment.start(), launch()]);
  const page = readFileSync(new URL('shared.html', import.meta.url), 'utf8');
  proxy = await FaultProxy.start(deployment.port, { '/shared.html': page });
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
  await deployment?.stop();
});

beforeEach(() => proxy.clear());

for (const fault of ['no WebSocket', 'no WebSocket and buffered responses']) {
  test(`20 tabs with streams of their own: ${fault}`, { timeout: 120_000 }, async () => {
    Object.assign(proxy, { websocket: 'refuse', buffer: fault.includes('buffered') });
    const context = await browser.newContext();
    const tabs = [];
    for (let i = 0; i < 20; i += 1) {
      const page = await context.newPage();
      // A starved page does not load.
      await page.goto(`${proxy.url}/shared.html`, { timeout: 15_000 });
      await page.evaluate(() => void (tab.open(), tab.stream.send('first')));
      tabs.push(page);
    }
    for (const page of tabs) await page.waitForFunction(() => tab.received.length === 1, undefined, { timeout: 40_000 });
    await Promise.all(tabs.map((page, i) => page.evaluate(async (i) => {
      await Promise.all(Array.from({ length: 20 }, (_, n) => tab.stream.send(`${i} ${n}`)));
    }, i)));
    for (const [i, page] of tabs.entries()) {
      await page.waitForFunction(() => tab.received.length >= 21, undefined, { timeout: 40_000 });
      const expected = ['first', ...Array.from({ length: 20 }, (_, n) => `${i} ${n}`)];
      assert.deepEqual(await page.evaluate(() => tab.received), expected);
      assert.equal(await page.evaluate(() => tab.stream.counters.reconnects), 0);
    }
    assert(proxy.mostConnections <= 6, `${proxy.mostConnections} connections`);
    await context.close();
  });
}

test('the worker of the transports is killed: streams continue', async () => {
  proxy.websocket = 'refuse';
  const context = await browser.newContext();
  const tabs = [await context.newPage(), await context.newPage()];
  for (const page of tabs) {
    await page.goto(`${proxy.url}/shared.html`);
    await page.evaluate(async () => (tab.open(), tab.stream.send('before')));
  }
  assert.equal(await killWorkers(), 1);
  for (const page of tabs) {
    const start = Date.now();
    await page.evaluate(() => tab.stream.send('after'));
    assert(Date.now() - start < 8_000, `${Date.now() - start} ms`);
    await page.waitForFunction(() => tab.received.includes('after'));
    assert.deepEqual(await page.evaluate(() => tab.received), ['before', 'after']);
  }
  await context.close();
});

test('without the script of the worker, transports have connections of their own', async () => {
  Object.assign(proxy, { websocket: 'refuse', refuseWorkers: true });
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/shared.html`);
  await page.evaluate(async () => (tab.open(), tab.stream.send('here')));
  await context.close();
});

/** Kills all shared workers as a system without memory does; returns their number. */
async function killWorkers() {
  const session = await browser.newBrowserCDPSession();
  const { targetInfos } = await session.send('Target.getTargets');
  const workers = targetInfos.filter(({ type }) => type === 'shared_worker');
  for (const { targetId } of workers) await session.send('Target.closeTarget', { targetId });
  return workers.length;
}

for (const kind of KINDS) {
  for (const count of [2, 10]) {
    test(`${count} tabs share a stream over ${kind}`, async () => {
      const context = await browser.newContext();
      const tabs = await Promise.all(Array.from({ length: count }, () => context.newPage()));
      for (const tab of tabs) await tab.goto(`${proxy.url}/shared.html`);
      await Promise.all(tabs.map((tab) => tab.evaluate((transport) => tab.start({ transport }), kind)));
      const open = (tab) => tab.waitForFunction(() => tab.stream.state === 'open');
      await Promise.all(tabs.map(open));
      proxy.mostConnections = 0;
      await Promise.all(tabs.map((tab, i) => tab.evaluate(async (i) => {
        const sends = Array.from({ length: 20 }, (_, n) => tab.stream.send(`${i} ${n}`));
        await Promise.all(sends);
      }, i)));
      for (const tab of tabs) {
        await tab.waitForFunction((most) => tab.received.length >= most, count * 20);
        const received = await tab.evaluate(() => tab.received);
        for (let i = 0; i < count; i += 1) {
          const own = received.filter((text) => text.startsWith(`${i} `));
          assert.deepEqual(own, Array.from({ length: 20 }, (_, n) => `${i} ${n}`));
        }
      }
      assert(proxy.mostConnections <= 6, `${proxy.mostConnections} connections`);
      assert(proxy.upgrades <= 1, `${proxy.upgrades} WebSockets`);
      // The stream outlives a closed tab.
      await tabs[0].close();
      await tabs[1].evaluate(() => tab.stream.send('still here'));
      await context.close();
    });
  }
}

test('an invalid message is rejected in its tab', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/shared.html`);
  await page.evaluate(() => tab.start());
  await assert.rejects(page.evaluate(() => tab.stream.send('\n')), /toJson/);
  await context.close();
});

test('an invalid reason of a reset is refused in its tab, and the stream continues', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/shared.html`);
  await page.evaluate(() => tab.start());
  for (const reason of ['\n', '\u00e9', 'x'.repeat(256)]) {
    await assert.rejects(page.evaluate((reason) => tab.stream.reset(reason), reason), /255 characters/);
  }
  await page.evaluate(() => tab.stream.send('here'));
  await context.close();
});

test('without the script of the worker, the stream of the tab ends', async () => {
  proxy.refuseWorkers = true;
  await expectFailure({}, /the shared worker cannot be loaded/);
});

test('invalid options end the stream of the tab', () => expectFailure({ heartbeat: 0 }, /heartbeat is 1 to 600 s/));

/** Opens a shared stream that no worker can carry: sends are rejected, and the end has the same reason. */
async function expectFailure(options, reason) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/shared.html`);
  await page.evaluate((options) => tab.start(options), options);
  for (const text of ['before', 'after']) {
    await assert.rejects(page.evaluate((text) => tab.stream.send(text), text), reason);
  }
  const { end, state } = await page.evaluate(() => ({ end: tab.stream.end, state: tab.stream.state }));
  assert.match(end.reason, reason);
  assert.deepEqual([end.by, state], ['client', 'ended']);
  await context.close();
}
