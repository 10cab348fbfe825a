// Sessions of the web client in Chromium, against a model of the server: IndexedDB, Web Locks and the lifecycle of pages.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { launch } from './demo_page.mjs';
import { SessionServer } from './session_server.mjs';

let server;
let browser;

before(async () => {
  [server, browser] = await Promise.all([SessionServer.start(), launch()]);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Opens the session of a page and collects the events. */
async function open(page, options = {}) {
  await page.goto(server.url);
  await page.evaluate((options) => {
    const stream = new Minerva.MinervaStream('/_minerva/', { session: 's', transport: 'long-poll', ...options });
    Object.assign(window, { stream, received: [], rejoins: [], ends: [] });
    stream.onmessage = ({ data }) => received.push(data);
    stream.onrejoin = ({ data }) => rejoins.push(data);
    stream.onend = ({ data }) => ends.push(data.reason);
  }, options);
}

async function until(page, expression, what) {
  await page.waitForFunction(expression, undefined, { timeout: 10_000 }).catch(() => assert.fail(what));
}

/** In the page: true if an own message without acknowledgement is stored. */
const stored = () => new Promise((resolve) => {
  indexedDB.open('minerva').onsuccess = ({ target: { result: db } }) => {
    const request = db.transaction('own').objectStore('own').getAll();
    request.onsuccess = () => {
      db.close();
      resolve(['b', 'unsent'].some((message) => request.result.includes(message)));
    };
  };
});

async function withContext(body) {
  server.streams.clear();
  const context = await browser.newContext();
  try {
    await body(context);
  } finally {
    await context.close();
  }
}

const only = () => {
  assert.equal(server.streams.size, 1);
  return [...server.streams.values()][0];
};

test('messages of a page that is reloaded arrive once, and earlier ones are received again', () => withContext(async (context) => {
  let page = await context.newPage();
  await open(page);
  await page.evaluate(() => stream.send('m0'));
  for (let round = 1; round <= 12; round += 1) {
    await page.evaluate((round) => {
      for (let n = 0; n < 3; n += 1) stream.send(`m${round}.${n}`).catch(() => {});
    }, round);
    await sleep(Math.random() * 60);
    await open(page);
    await page.evaluate((round) => void stream.send(`n${round}`).catch(() => {}), round);
    await until(page, () => rejoins.length > 0, `round ${round} rejoins`);
  }
  await page.evaluate(() => stream.send('last'));
  const expected = ['m0'];
  for (let round = 1; round <= 12; round += 1) expected.push(...[0, 1, 2].map((n) => `m${round}.${n}`), `n${round}`);
  expected.push('last');
  // Messages of the last milliseconds before a reload may not have been stored; none is doubled or overtaken.
  const { received, generation } = only();
  assert.deepEqual(received, expected.filter((text) => received.includes(text)));
  assert.equal(generation, 12);
  await until(page, () => received.at(-1) === 'echo last', 'the last echo');
  assert.deepEqual(await page.evaluate(() => received), received.map((text) => `echo ${text}`));
  assert(await page.evaluate(() => stream.stored && rejoins[0].complete));
  await page.close();
}));

test('a stored message survives the crash of the tab', () => withContext(async (context) => {
  const page = await context.newPage();
  await open(page, { scope: 'origin' });
  await page.evaluate(() => stream.send('before'));
  server.isDown = true;
  await page.evaluate(() => void stream.send('unsent').catch(() => {}));
  await until(page, stored, 'the message is stored');
  await page.goto('chrome://crash').catch(() => {});
  server.isDown = false;
  const next = await context.newPage();
  await open(next, { scope: 'origin' });
  await until(next, () => received.includes('echo unsent'), 'the stored message arrives');
  assert.deepEqual(only().received, ['before', 'unsent']);
}));

test('another page of the origin begins anew, waits, or takes the session over', () => withContext(async (context) => {
  const [first, other, waiting, thief] = await Promise.all([1, 2, 3, 4].map(() => context.newPage()));
  const options = { scope: 'origin' };
  await open(first, options);
  await first.evaluate(() => stream.send('first'));
  await open(waiting, { ...options, busy: 'wait' });
  await sleep(300);
  assert.equal(server.streams.size, 1, 'the second page waits');
  await first.close();
  await until(waiting, () => rejoins.length > 0, 'the waiting page continues');
  await open(thief, { ...options, busy: 'steal' });
  await until(thief, () => received.includes('echo first'), 'the third page has the stream');
  await until(waiting, () => ends[0] === 'superseded', 'the older page ends');
  await open(other, { ...options, busy: 'new' });
  await other.evaluate(() => stream.send('other'));
  assert.equal(server.streams.size, 2);
}));

test('a stream that is over is followed by a new one with the unsent messages', () => withContext(async (context) => {
  const page = await context.newPage();
  await open(page);
  await page.evaluate(() => stream.send('a'));
  server.isDown = true;
  await page.evaluate(() => void stream.send('b').catch(() => {}));
  await until(page, stored, 'the message is stored');
  server.streams.clear();
  server.isDown = false;
  await open(page);
  await page.evaluate(() => stream.send('c'));
  const [rejoin] = await page.evaluate(() => rejoins);
  assert.deepEqual([rejoin.fresh, rejoin.unsent], [true, [{ message: 'b', maybeDelivered: true }]]);
  assert.deepEqual(only().received, ['c']);
}));

test('forget ends the stream and deletes the stored state', () => withContext(async (context) => {
  const page = await context.newPage();
  await open(page);
  await page.evaluate(() => stream.send('secret'));
  await page.goto(server.url);
  await page.evaluate(() => Minerva.MinervaStream.forget('s'));
  assert.equal(server.streams.size, 0);
  const stored = await page.evaluate(() => new Promise((resolve) => {
    indexedDB.open('minerva').onsuccess = ({ target: { result: db } }) => {
      const counts = ['sessions', 'own'].map((name) => new Promise((counted) => {
        db.transaction(name).objectStore(name).count().onsuccess = (event) => counted(event.target.result);
      }));
      resolve(Promise.all(counts));
    };
  }));
  assert.deepEqual(stored, [0, 0]);
}));
