// The client in Chromium and Firefox behind bad networks: all messages arrive exactly once and in order in both
// directions, the first one soon; the client's own probes pause no messages; a stable network costs few connections.
// Prints a table in Markdown, one row for each network and browser. Environment:
//   NETWORKS_SECONDS=N    duration of each measurement; 80 in the long form, where all networks run. Without it, a few
//                         networks run for the shortest time that shows their faults, without connection counts
//   NETWORKS_PARALLEL=N   measurements at a time (4)
//   NETWORKS_CLIENT=FILE   another build of the client than client.js: client3.js
//   NETWORKS=REGEX, BROWSERS=REGEX   select networks and browsers by name
// Other load distorts the times; real-time priority (`chrt -r 1`) and a TMPDIR in memory exclude most of it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import puppeteer from 'puppeteer-core';
import { launch } from './demo_page.mjs';
import { Deployment } from './deployment.mjs';
import { FaultProxy } from './fault_proxy.mjs';
import { LinkProxy } from './link_proxy.mjs';
import { NETWORKS, STEADY } from './networks.mjs';
import { pages, TickServer } from './ticks.mjs';

const SECONDS = Number(process.env.NETWORKS_SECONDS ?? 0);
const PARALLEL = Number(process.env.NETWORKS_PARALLEL ?? 4);
const CLIENT = process.env.NETWORKS_CLIENT ?? 'client.js';
const networks = new RegExp(process.env.NETWORKS ?? '');
const browsers = new RegExp(process.env.BROWSERS ?? '');

/**
 * Bounds: ms to the first message, ms of an own pause, connections per minute. The short form runs beside other work: it
 * finds a client that stops for a probe (1.5 s and more), the long form measures.
 */
const MAX_FIRST = SECONDS > 0 ? 2_500 : 5_000;
const MAX_OWN_PAUSE = SECONDS > 0 ? 300 : 1_000;
const MAX_CONNECTIONS = 2;
/** Time in ms for the last messages of both directions. */
const FINISH_TIMEOUT = 40_000;
/** Shortest time in ms over which connections are counted. */
const MIN_COUNTED = 45_000;
/** Time in ms after a cut within which delays are due to the cut. */
const CUT_RECOVERY = 1_500;

const rows = [];
let ticks;
let deployment;

before(async () => {
  ticks = await TickServer.start();
  deployment = await Deployment.start(ticks.app);
});

after(async () => {
  await deployment?.stop();
  await ticks?.stop();
  const head = ['network', 'browser', 's2c', 'c2s', 'first message, ms', 'longest own pause, ms', 'longest pause, ms',
    'connections per minute', 'transports'];
  const lines = [head, head.map(() => '---'), ...rows.sort()].map((row) => `| ${row.join(' | ')} |`);
  console.log(`${lines.join('\n')}\n`);
});

/** A page of ticks.mjs behind a fault proxy and a network path. */
async function openPage(browser) {
  const proxy = await FaultProxy.start(deployment.port, pages(CLIENT));
  const link = await LinkProxy.start(Number(new URL(proxy.url).port));
  const context = await (browser.newContext ? browser.newContext() : browser.createBrowserContext());
  // Firefox slows the timers of tabs in the background.
  const page = await context.newPage(browser.newContext ? undefined : { type: 'window' });
  await page.goto(`${link.url}/ticks.html`);
  const close = async () => {
    await context.close();
    await link.stop();
    await proxy.stop();
  };
  return { proxy, link, context, page, close };
}

/** Runs the traffic on the network and returns the results. `control` is a page on a good network. */
async function measure(network, browser, control) {
  const { close, ...setup } = await openPage(browser);
  const { proxy, link, page } = setup;
  try {
    Object.assign(proxy, network.proxy);
    Object.assign(link, network.link, { faults: [] });
    await page.evaluate((traffic) => client.start(traffic), network.traffic);
    const seconds = Math.max(SECONDS, network.least);
    const counting = Date.now() + network.settle * 1000;
    await Promise.all([sleep(seconds * 1000), network.during({ ...setup, seconds })]);
    const stopped = Date.now();
    const opened = link.opened.filter((at) => at >= counting).length;
    await page.evaluate(() => client.stop());
    const results = await finish(page);
    const perMinute = stopped - counting < MIN_COUNTED ? null : (60_000 * opened) / (stopped - counting);
    const stalls = delaysOf(await control.page.evaluate(() => client.ticks));
    return { ...results, perMinute, faults: link.faults, stalls };
  } finally {
    await close();
  }
}

/** Waits until both sides have all messages. */
async function finish(page) {
  for (const start = Date.now(); ; await sleep(100)) {
    const results = await page.evaluate(() => {
      const { sent, durable, wrong, bye, end, changes, first, ticks, stream } = client;
      return { sent, durable, wrong, bye, end, changes, first, ticks, transport: stream.transport, state: stream.state };
    });
    // The lines `start` and `stop` are messages, too.
    if (results.bye && results.durable === results.sent + 2) return results;
    assert.equal(results.end, null);
    if (Date.now() - start > FINISH_TIMEOUT) assert.fail(JSON.stringify({ ...results, ticks: results.ticks.length }));
  }
}

/** Returns each tick after the first arrival with the delay beyond the median: `[sent, arrived, delay]`. */
function delaysOf(ticks) {
  const later = ticks.filter(([sent]) => sent >= ticks[0][1]);
  const delays = later.map(([sent, arrived]) => arrived - sent).sort((a, b) => a - b);
  return later.map(([sent, arrived]) => [sent, arrived, arrived - sent - delays[delays.length >> 1]]);
}

const longest = (delays) => Math.max(0, ...delays.map(([, , delay]) => delay));

/**
 * Returns the longest pause, and the longest one without faults of the network and of the machine: the machine stalls as
 * long as ticks on the good network are late at the same time.
 */
function pausesOf({ ticks, faults, stalls }) {
  const delays = delaysOf(ticks);
  const overlaps = ([sent, arrived], [from, to]) => sent <= to && arrived >= from;
  const cuts = faults.map(([from, to]) => [from, Math.max(to, from + CUT_RECOVERY)]);
  const own = delays.filter((tick) => tick[2] > 0 && !cuts.some((cut) => overlaps(tick, cut))).map((tick) => {
    const stall = longest(stalls.filter((other) => other[2] > 0 && overlaps(tick, other)));
    return [...tick.slice(0, 2), tick[2] - stall];
  });
  const at = own.find((tick) => tick[2] === longest(own))?.[0] ?? 0;
  return { own: longest(own), all: longest(delays), at: (at - ticks[0][0]) / 1000 };
}

function check(network, name, results) {
  const { sent, wrong, bye, ticks, first, perMinute, changes, transport } = results;
  const [sentTicks, numbers, wrongNumbers] = bye;
  const { own, all, at } = pausesOf(results);
  const path = changes.map((change) => change.split(' ')[1]);
  rows.push([network.name, name, `${ticks.length}/${sentTicks}`, `${numbers}/${sent}`, Math.round(first), own, all,
    perMinute?.toFixed(1) ?? '', path.filter((kind, i) => kind !== path[i - 1]).join(', ')]);
  assert.deepEqual(wrong, []);
  assert.deepEqual([ticks.length, numbers, wrongNumbers], [sentTicks, sent, 0]);
  const log = changes.join('; ');
  assert(first <= MAX_FIRST, `${first} ms to the first message: ${log}`);
  assert(own <= MAX_OWN_PAUSE, `a pause of ${own} ms, ${at} s after the first message: ${log}`);
  // The short form ends before the probes that follow a change.
  if (network.isStable || SECONDS > 0) assert.equal(transport, network.kind, log);
  const isTooMany = network.isStable && perMinute > MAX_CONNECTIONS;
  assert(!isTooMany, `${perMinute} connections per minute: ${log}`);
}

const isSelected = ({ name, isShort }) => networks.test(name) && (isShort || SECONDS > 0);

for (const [name, open] of [
  ['Chromium', launch],
  ['Firefox', () => puppeteer.launch({
    browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', headless: true,
  })],
]) {
  if (!browsers.test(name)) continue;
  describe(name, { concurrency: PARALLEL }, () => {
    let browser;
    let control;
    before(async () => {
      browser = await open();
      control = await openPage(browser);
      await control.page.evaluate((traffic) => client.start(traffic), STEADY);
    });
    after(async () => {
      const { ticks, wrong } = await control.page.evaluate(() => ({ ticks: client.ticks, wrong: client.wrong }));
      rows.push(['good network', name, ticks.length, '', '', '', longest(delaysOf(ticks)), '', '']);
      assert.deepEqual(wrong, []);
      await control.close();
      await browser?.close();
    });
    for (const network of NETWORKS.filter(isSelected)) {
      test(`${name}: ${network.name}`, async () => check(network, name, await measure(network, browser, control)));
    }
  });
}
