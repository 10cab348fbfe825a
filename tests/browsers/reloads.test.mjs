// Reloads, crashes and navigations of a page in the midst of prompts and answers, with the real server and the example
// `agent`: each prompt is answered once, and each page load shows the whole conversation.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from './agent.mjs';
import { KINDS, launch } from './demo_page.mjs';
import { Minerva } from './minerva.mjs';

/** Page loads per transport. */
const LOADS = Number(process.env.RELOADS ?? 6);
/** Words of a prompt; the agent repeats them one by one. */
const WORDS = 12;
/** Time in ms after which a message is in the storage of the page. */
const STORED_MS = 60;

let minerva;
let agent;
let browser;

before(async () => {
  [minerva, browser] = await Promise.all([Minerva.start('--max-version', '3'), launch()]);
  agent = await Agent.start(minerva.api);
});

after(async () => {
  await browser?.close();
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

/** Leaves the page without a warning, in one of three ways; returns the next page. */
async function leave(page, way) {
  if (way === 'crash') {
    await page.goto('chrome://crash').catch(() => {});
    await page.close().catch(() => {});
    return page.context().newPage();
  }
  if (way === 'navigation') await page.goto('about:blank');
  return page;
}

async function until(page, condition, argument, what) {
  await page.waitForFunction(condition, argument, { timeout: 20_000 }).catch(async () => {
    const state = await page.evaluate(() => ({ ...state, stream: `${state.stream.state} ${state.stream.transport}`, last: state.messages.at(-1) }));
    assert.fail(`${what}: ${JSON.stringify({ ...state, messages: state.messages.length })}`);
  });
}

for (const kind of KINDS) {
  test(`${kind}: prompts and answers survive ${LOADS} page loads`, async () => {
    const context = await browser.newContext();
    const prompts = [];
    const delays = [];
    let page = await context.newPage();
    await load(page, kind);
    for (let round = 0; round < LOADS; round += 1) {
      const answered = await page.evaluate(() => state.messages.filter(({ t }) => t === 'done').length);
      if (answered === prompts.length) {
        prompts.push(Array.from({ length: WORDS }, (_, n) => `w${prompts.length}.${n}`));
        await page.evaluate((text) => void state.stream.send(JSON.stringify({ t: 'prompt', text })).catch(() => {}), prompts.at(-1).join(' '));
        await sleep(STORED_MS);
      }
      await sleep(Math.random() * 500);
      page = await leave(page, ['reload', 'navigation', 'crash'][round % 3]);
      await load(page, kind);
      await until(page, () => state.rejoins.length > 0, undefined, `load ${round} continues the stream`);
      const rejoin = await page.evaluate(() => state.rejoins[0]);
      assert(rejoin.complete && !rejoin.fresh, JSON.stringify(rejoin));
      if (answered > 0) {
        await until(page, () => state.first > 0, undefined, `load ${round} shows the conversation`);
        delays.push(await page.evaluate(() => state.first));
      }
    }
    await until(page, (count) => state.messages.filter(({ t }) => t === 'done').length === count, prompts.length, 'all answers');
    const expected = prompts.flatMap((words) => [...words.map((word) => ({ t: 'token', text: `${word} ` })), { t: 'done' }]);
    assert.deepEqual(await page.evaluate(() => state.messages), expected);
    assert.equal(await page.evaluate(() => state.stream.transport), kind);
    delays.sort((a, b) => a - b);
    const percentile = (part) => Math.round(delays[Math.floor((delays.length - 1) * part)]);
    console.log(`${kind}: ${LOADS} loads, ${prompts.length} prompts; first message after ${percentile(0.5)} ms (median), ${percentile(0.99)} ms (99 %)`);
    await context.close();
  });
}
