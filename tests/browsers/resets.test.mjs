// Resets by the page reach the server from a page that navigates away, from an offline browser and through a killed
// core, and the server has the reason of the page.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { killWorkers, KINDS, launch } from './demo_page.mjs';
import { Deployment } from './deployment.mjs';
import { FaultProxy } from './fault_proxy.mjs';
import { PAGES, onEchoPage } from './echo_page.mjs';

let deployment;
let proxy;
let browser;

before(async () => {
  [deployment, browser] = await Promise.all([Deployment.start(), launch()]);
  const shared = readFileSync(new URL('shared.html', import.meta.url), 'utf8');
  proxy = await FaultProxy.start(deployment.port, { ...PAGES, '/shared.html': shared });
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
  await deployment?.stop();
});

beforeEach(() => proxy.clear());

const withEchoPage = async (body) => onEchoPage(await browser.newContext(), proxy, body);

/** Uploads frames to a stream with its own hello and returns the response. */
async function upload(id, frames) {
  const hello = { ver: 2, tnum: 1000, id, ming: false, maxia: 0, seenack: '|-1' };
  const headers = { 'content-type': 'application/octet-stream' };
  const body = `${JSON.stringify(hello)}H\n${frames}`;
  return (await fetch(`${proxy.url}/_minerva/io/`, { method: 'POST', headers, body })).text();
}

/** Waits for the end of a stream at the server and asserts the reason. */
async function expectEnded(id, reason) {
  for (const start = Date.now(); ; await sleep(50)) {
    if ((await upload(id, '')).includes('stream_attach_failureK')) break;
    assert(Date.now() - start < 5000, 'the stream has not ended');
  }
  // The server answers a reset with the one that has ended the stream.
  assert.match(await upload(id, 'probe|1!\n'), new RegExp(`^${reason}\\|1!$`, 'm'));
}

async function endOf(echo) {
  await echo.page.waitForFunction(() => client.end);
  return echo.evaluate(() => client.end);
}

const OWN_END = { reason: 'gone', applicationLevel: true, by: 'client' };

for (const kind of KINDS) {
  test(`${kind}: the end follows the confirmation`, () => withEchoPage(async (echo) => {
    await echo.start({ transport: kind });
    await echo.until((n) => n.received === 1);
    const id = await echo.evaluate(() => client.stream.id);
    assert.equal(await echo.evaluate(() => (client.stream.reset('gone'), client.stream.end)), null);
    assert.deepEqual(await endOf(echo), OWN_END);
    await expectEnded(id, 'gone');
  }));

  test(`${kind}: a page resets and navigates away in the same turn`, () => withEchoPage(async (echo) => {
    await echo.start({ transport: kind });
    await echo.until((n) => n.received === 1);
    const id = await echo.evaluate(() => client.stream.id);
    await echo.evaluate(() => {
      // Deferred, so that this call returns first.
      setTimeout(() => {
        client.stream.reset('gone');
        location.href = '/echo.html?next';
      });
    });
    await echo.page.waitForURL('**/echo.html?next');
    await expectEnded(id, 'gone');
  }));

  test(`${kind}: a page resets in its handler of pagehide`, () => withEchoPage(async (echo) => {
    await echo.start({ transport: kind });
    await echo.until((n) => n.received === 1);
    const id = await echo.evaluate(() => client.stream.id);
    await echo.evaluate(() => {
      addEventListener('pagehide', () => client.stream.reset('gone'));
      setTimeout(() => (location.href = '/echo.html?next'));
    });
    await echo.page.waitForURL('**/echo.html?next');
    await expectEnded(id, 'gone');
  }));
}

test('a reset while offline is repeated when the browser is online', () => withEchoPage(async (echo, context) => {
  await echo.start();
  await echo.until((n) => n.received === 1);
  const id = await echo.evaluate(() => client.stream.id);
  await context.setOffline(true);
  proxy.cutAll();
  await echo.evaluate(() => client.stream.reset('gone'));
  await sleep(3000);
  assert.equal(await echo.evaluate(() => client.end), null);
  await context.setOffline(false);
  assert.deepEqual(await endOf(echo), OWN_END);
  await expectEnded(id, 'gone');
}));

test('a reset while the core is down is confirmed by its successor', () => withEchoPage(async (echo) => {
  await echo.start();
  await echo.until((n) => n.received === 1);
  const id = await echo.evaluate(() => client.stream.id);
  await deployment.core.kill();
  await echo.evaluate(() => client.stream.reset('gone'));
  await sleep(1000);
  assert.equal(await echo.evaluate(() => client.end), null);
  await deployment.core.run();
  assert.deepEqual(await endOf(echo), OWN_END);
  await expectEnded(id, 'gone');
}));

test('after a reset of a shared stream new tabs open another stream', async () => {
  const context = await browser.newContext();
  const [first, second] = [await context.newPage(), await context.newPage()];
  for (const page of [first, second]) await page.goto(`${proxy.url}/shared.html`);
  await first.evaluate(() => tab.start());
  await first.waitForFunction(() => tab.stream.state === 'open');
  // Without the edge, the reset is unconfirmed when the second tab connects.
  await deployment.edge.kill();
  await first.evaluate(() => tab.stream.reset('gone'));
  await second.evaluate(() => tab.start());
  await deployment.edge.run();
  await second.evaluate(() => tab.stream.send('here'));
  await second.waitForFunction(() => tab.received.includes('here'));
  await first.waitForFunction(() => tab.stream.end);
  assert.deepEqual(await first.evaluate(() => tab.stream.end), OWN_END);
  assert.equal(await second.evaluate(() => tab.stream.end), null);
  assert.deepEqual(await first.evaluate(() => tab.received), []);
  await context.close();
});

/** Opens a shared stream in one tab, calls `leave` in the tab with a navigation, and waits for the metric to grow. */
async function leaveLastTab(kind, leave, metric, meanwhile = () => {}) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/shared.html`);
  await page.evaluate((transport) => tab.start({ transport }), kind);
  await page.evaluate(() => tab.stream.send('here'));
  await page.waitForFunction(() => tab.received.length === 1);
  const before = await deployment.coreMetric(metric);
  await meanwhile(page);
  // Deferred, so that this call returns first.
  await page.evaluate((leave) => void setTimeout(() => {
    tab.stream[leave]('gone');
    location.href = '/echo.html?next';
  }), leave);
  await page.waitForURL('**/echo.html?next');
  for (const start = Date.now(); (await deployment.coreMetric(metric)) <= before; await sleep(50)) {
    assert(Date.now() - start < 5000, `${metric} remains ${before}`);
  }
  await context.close();
}

for (const kind of KINDS) {
  test(`${kind}: the last tab resets the shared stream and navigates away`, () =>
    leaveLastTab(kind, 'reset', 'minerva_core_streams_ended_total{by="client"}'));

  test(`${kind}: the last tab sends to the shared stream and navigates away`, () =>
    leaveLastTab(kind, 'send', 'minerva_core_messages_c2s_total'));
}

for (const leave of ['send', 'reset']) {
  const metric = leave === 'send' ? 'minerva_core_messages_c2s_total' : 'minerva_core_streams_ended_total{by="client"}';
  test(`the last tab leaves with a ${leave} after the worker of its shared stream died`, () =>
    leaveLastTab('websocket', leave, metric, () => killWorkers(browser)));
}

test('the last tab resets the shared stream behind an upload without a response', () =>
  leaveLastTab('http-stream', 'reset', 'minerva_core_streams_ended_total{by="client"}', async (page) => {
    proxy.hold = true;
    const { length } = proxy.posts;
    await page.evaluate(() => void tab.stream.send('held'));
    while (proxy.posts.length === length) await sleep(20);
  }));

test('a tab that connects after the last one was unloaded continues the shared stream', async () => {
  const context = await browser.newContext();
  const [first, second] = [await context.newPage(), await context.newPage()];
  for (const page of [first, second]) await page.goto(`${proxy.url}/shared.html`);
  await first.evaluate(() => tab.start());
  await first.evaluate(() => tab.stream.send('first'));
  // Otherwise the second tab may receive the answer, too.
  await first.waitForFunction(() => tab.received.length > 0);
  // The page keeps its port, so the worker outlives the report.
  await first.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide')));
  await second.evaluate(() => tab.start());
  await second.evaluate(() => tab.stream.send('second'));
  await second.waitForFunction(() => tab.received.length > 0);
  assert.deepEqual(await second.evaluate(() => tab.received), ['second']);
  await context.close();
});
