// Reloads, crashes and navigations of a page in Chromium and Firefox, in the midst of prompts and answers, with the real server and the example
// `agent`: each prompt is answered once, and each page load shows the whole conversation.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import puppeteer from 'puppeteer-core';
import { Agent } from './agent.mjs';
import { KINDS, launch } from './demo_page.mjs';
import { Minerva } from './minerva.mjs';

/** Page loads per transport in Chromium; Firefox, which starts pages more slowly, has a part of them. */
const LOADS = Number(process.env.RELOADS ?? 6);
const FIREFOX_PART = 0.5;
/** Words of a prompt; the agent repeats them one by one. */
const WORDS = 12;
/** Time in ms after which a message is in the storage of the page. */
const STORED_MS = 60;

/** Time in ms for an event of a page. */
const TIMEOUT = 20_000;

/** The browsers: Chromium by Playwright, Firefox by Puppeteer. */
const BROWSERS = {
  Chromium: {
    loads: LOADS,
    ways: ['reload', 'navigation', 'crash'],
    launch,
    newContext: (browser) => browser.newContext(),
    waitFor: (page, condition, argument) => page.waitForFunction(condition, argument, { timeout: TIMEOUT }),
  },
  Firefox: {
    loads: Math.ceil(LOADS * FIREFOX_PART),
    ways: ['reload', 'navigation', 'end'],
    launch: () => puppeteer.launch({ browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', headless: true }),
    newContext: (browser) => browser.createBrowserContext(),
    waitFor: (page, condition, argument) => page.waitForFunction(condition, { timeout: TIMEOUT }, argument),
  },
};

let minerva;
let agent;
const browsers = {};

before(async () => {
  const names = Object.keys(BROWSERS);
  const [program, ...launched] = await Promise.all([Minerva.start('--max-version', '3'), ...names.map((name) => BROWSERS[name].launch())]);
  minerva = program;
  names.forEach((name, index) => (browsers[name] = launched[index]));
  agent = await Agent.start(minerva.api);
});

after(async () => {
  for (const browser of Object.values(browsers)) await browser.close();
  await agent?.stop();
  await minerva?.stop();
});

/** Loads a page of the server, whose content does not matter, and opens the session. */
async function load(page, kind) {
  const url = new URL('/_minerva/client3.js', minerva.url).href;
  await page.goto(url);
  await page.addScriptTag({ url });
  await page.evaluate((transport) => {
    const stream = new Minerva.MinervaStream('/_minerva/agent/', { session: 's', scope: 'origin', transport });
    const state = { stream, messages: [], rejoins: [], first: 0, end: '' };
    Object.assign(window, { state });
    stream.onmessage = ({ data }) => {
      state.first ||= performance.now();
      state.messages.push(JSON.parse(data));
    };
    stream.onrejoin = ({ data }) => state.rejoins.push(data);
    stream.onend = ({ data }) => (state.end = data.reason);
  }, kind);
}

/** Leaves the page without a warning in one of the ways; returns the next page of the context. */
async function leave(context, page, way) {
  if (way === 'crash') await page.goto('chrome://crash').catch(() => {});
  if (way === 'crash' || way === 'end') {
    // A context without pages would end.
    const next = await context.newPage();
    await page.close().catch(() => {});
    return next;
  }
  if (way === 'navigation') await page.goto('about:blank');
  return page;
}

async function until(waitFor, page, condition, argument, what) {
  await waitFor(page, condition, argument).catch(async () => {
    const state = await page.evaluate(() => ({ ...state, stream: `${state.stream.state} ${state.stream.transport}`, last: state.messages.at(-1) }));
    assert.fail(`${what}: ${JSON.stringify({ ...state, messages: state.messages.length })}`);
  });
}

for (const [name, { loads, ways, newContext, waitFor }] of Object.entries(BROWSERS)) for (const kind of KINDS) {
  test(`${name}, ${kind}: prompts and answers survive ${loads} page loads`, async () => {
    const context = await newContext(browsers[name]);
    const prompts = [];
    const delays = [];
    let page = await context.newPage();
    await load(page, kind);
    // A page that ends before the answer of the server leaves no stream behind.
    await until(waitFor, page, () => state.stream.state === 'open', undefined, 'the first page opens the stream');
    await sleep(STORED_MS);
    for (let round = 0; round < loads; round += 1) {
      const answered = await page.evaluate(() => state.messages.filter(({ t }) => t === 'done').length);
      if (answered === prompts.length) {
        prompts.push(Array.from({ length: WORDS }, (_, n) => `w${prompts.length}.${n}`));
        await page.evaluate((text) => void state.stream.send(JSON.stringify({ t: 'prompt', text })).catch(() => {}), prompts.at(-1).join(' '));
        await sleep(STORED_MS);
      }
      await sleep(Math.random() * 500);
      page = await leave(context, page, ways[round % ways.length]);
      await load(page, kind);
      await until(waitFor, page, () => state.rejoins.length > 0, undefined, `load ${round} continues the stream`);
      const rejoin = await page.evaluate(() => state.rejoins[0]);
      assert(rejoin.complete && !rejoin.fresh, JSON.stringify(rejoin));
      if (answered > 0) {
        await until(waitFor, page, () => state.first > 0, undefined, `load ${round} shows the conversation`);
        delays.push(await page.evaluate(() => state.first));
      }
    }
    await until(waitFor, page, (count) => state.messages.filter(({ t }) => t === 'done').length === count, prompts.length, 'all answers');
    const expected = prompts.flatMap((words) => [...words.map((word) => ({ t: 'token', text: `${word} ` })), { t: 'done' }]);
    assert.deepEqual(await page.evaluate(() => state.messages), expected);
    assert.equal(await page.evaluate(() => state.stream.transport), kind);
    delays.sort((a, b) => a - b);
    const percentile = (part) => Math.round(delays[Math.floor((delays.length - 1) * part)]);
    console.log(`${name}, ${kind}: ${loads} loads, ${prompts.length} prompts; first message after ${percentile(0.5)} ms (median), ${percentile(0.99)} ms (99 %)`);
    await context.close();
  });
}
