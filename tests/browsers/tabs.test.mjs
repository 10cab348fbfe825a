// Many tabs of one origin share a stream over HTTP/1.1, where browsers open at most six connections per host.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { killWorkers, KINDS, launch } from './demo_page.mjs';
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
    Object.assign(proxy, { websocket: 'refuse', buffer: fault.includes('buffered') ? Infinity : 0 });
    const context = await browser.newContext();
    const tabs = [];
    const lines = [];
    for (let i = 0; i < 20; i += 1) {
      const page = await context.newPage();
      if (i === 0) page.on('console', (message) => lines.push(message.text()));
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
    // The reason is information: the stream stays open.
    const code = fault.includes('buffered') ? 'proxy' : 'blocked';
    await tabs[0].waitForFunction((code) => tab.stream.problem?.code === code, code);
    assert.deepEqual(await tabs[0].evaluate(() => [tab.stream.state, tab.stream.problem.fallback]), ['open', code === 'proxy' ? 'long-poll' : 'http-stream']);
    assert.equal(lines.filter((line) => line.includes(`(${code})`)).length, 1, lines.join('\n'));
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
  assert.equal(await killWorkers(browser), 1);
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

test('without the script of the worker, each tab has a stream of its own', async () => {
  proxy.refuseWorkers = true;
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/shared.html`);
  // Both before and after the failure of the worker.
  for (const text of ['before', 'after']) {
    await page.evaluate(async (text) => {
      if (!tab.stream) tab.start();
      await tab.stream.send(text);
    }, text);
  }
  await page.waitForFunction(() => tab.received.length === 2);
  assert.deepEqual(await page.evaluate(() => [tab.received, tab.stream.state]), [['before', 'after'], 'open']);
  await page.evaluate(() => tab.stream.reset('gone'));
  await assert.rejects(page.evaluate(() => tab.stream.send('late')), /gone/);
  await page.waitForFunction(() => tab.stream.state === 'ended');
  assert.equal(await page.evaluate(() => tab.stream.end.reason), 'gone');
  await context.close();
});

test('options and messages are checked as those of a plain stream', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/shared.html`);
  for (const options of [{ heartbeat: 0 }, { transport: 'tcp' }, { cred: 7 }]) {
    const errors = await page.evaluate((options) => ['start', 'open'].map((how) => {
      try {
        tab[how](options);
        return 'none';
      } catch (error) {
        return `${error instanceof Minerva.MinervaError} ${error}`;
      }
    }), options);
    assert.match(errors[0], /^true MinervaError: /);
    assert.equal(errors[0], errors[1]);
  }
  const names = await page.evaluate(async () => {
    tab.start();
    const name = (error) => error.constructor.name && (error instanceof Minerva.MinervaError ? 'MinervaError' : error.name);
    return Promise.all([{}, null, 7, '\n', '\u00e9', 'x'.repeat(1 << 20)].map((value) => tab.stream.send(value).then(() => 'sent', name)));
  });
  assert.deepEqual(names, ['TypeError', 'TypeError', 'TypeError', 'MinervaError', 'MinervaError', 'MinervaError']);
  await page.evaluate(() => tab.stream.send('x'.repeat((1 << 20) - 1)));
  await context.close();
});

test('every tab has the reason for which a shared stream is not open', async () => {
  const context = await browser.newContext();
  const tabs = [await context.newPage(), await context.newPage()];
  for (const page of tabs) {
    await page.goto(`${proxy.url}/shared.html`);
    await page.evaluate(() => {
      tab.stream = Minerva.shared('/_minerva/No-Service/');
      tab.stream.onproblem = ({ data }) => data && tab.problems.push(data);
    });
  }
  for (const page of tabs) {
    await page.waitForFunction(() => tab.problems.some(({ code }) => code === 'service'));
    assert.equal(await page.evaluate(() => tab.stream.problem.code), 'service');
    assert.equal(await page.evaluate(() => tab.stream.state), 'connecting');
  }
  await context.close();
});

test('the end is final for every tab', async () => {
  const context = await browser.newContext();
  const tabs = [await context.newPage(), await context.newPage()];
  for (const page of tabs) {
    await page.goto(`${proxy.url}/shared.html`);
    await page.evaluate(async () => {
      tab.start();
      tab.events = [];
      for (const type of ['message', 'state', 'transport', 'end']) tab.stream.addEventListener(type, () => tab.events.push(type));
      await tab.stream.send('here');
    });
  }
  await tabs[0].evaluate(() => tab.stream.reset('gone'));
  for (const page of tabs) {
    await page.waitForFunction(() => tab.stream.state === 'ended');
    assert.deepEqual(await page.evaluate(() => tab.events.slice(-3)), ['end', 'transport', 'state']);
    await assert.rejects(page.evaluate(() => tab.stream.send('late')), /gone/);
  }
  const counts = () => Promise.all(tabs.map((page) => page.evaluate(() => tab.events.length)));
  const before = await counts();
  const third = await context.newPage();
  await third.goto(`${proxy.url}/shared.html`);
  await third.evaluate(async () => (tab.start(), tab.stream.send('next')));
  await third.waitForFunction(() => tab.received.includes('next'));
  assert.deepEqual(await counts(), before);
  await context.close();
});

test('the worker of a shared stream is killed: the stream ends within 5 s for every tab and for the server', async () => {
  const context = await browser.newContext();
  const tabs = [await context.newPage(), await context.newPage()];
  for (const page of tabs) {
    await page.goto(`${proxy.url}/shared.html`);
    await page.evaluate(async () => (tab.start(), tab.stream.send('before')));
  }
  const metric = 'minerva_core_streams_ended_total{by="client"}';
  const ended = await deployment.coreMetric(metric);
  assert.equal(await killWorkers(browser), 1);
  const start = Date.now();
  await Promise.all(tabs.map((page) => assert.rejects(page.evaluate(() => tab.stream.send('after')), /shared worker lost/)));
  assert(Date.now() - start < 7_000, `${Date.now() - start} ms`);
  for (const page of tabs) {
    assert.deepEqual(await page.evaluate(() => [tab.stream.state, tab.stream.end.by]), ['ended', 'client']);
  }
  for (; (await deployment.coreMetric(metric)) <= ended; ) assert(Date.now() - start < 12_000, 'the server has the stream');
  await tabs[0].evaluate(async () => (tab.start(), tab.stream.send('again')));
  await context.close();
});

/** Opens pages that send a message every 20 ms and keep the results: durable, or rejected. */
async function openTraffic(context, count, withRejoin) {
  const pages = await Promise.all(Array.from({ length: count }, () => context.newPage()));
  for (const [number, page] of pages.entries()) {
    await page.goto(`${proxy.url}/shared.html`);
    await page.evaluate(async ({ number, withRejoin }) => {
      tab.start();
      Object.assign(tab, { durable: [], rejected: [], rejoins: [], ends: [] });
      if (withRejoin) tab.stream.onrejoin = ({ data }) => tab.rejoins.push(data);
      tab.stream.onend = ({ data }) => tab.ends.push(data.reason);
      await tab.stream.send(`first of ${number}`);
      let sent = 0;
      tab.timer = setInterval(() => {
        const text = `${number} ${sent++}`;
        tab.stream.send(text).then(() => tab.durable.push(text), () => tab.rejected.push(text));
      }, 20);
    }, { number, withRejoin });
  }
  return pages;
}

for (const withRejoin of [true, false]) {
  test(`the worker of a shared stream is killed under traffic, ${withRejoin ? 'with' : 'without'} a handler of rejoin`, async () => {
    const context = await browser.newContext();
    const tabs = await openTraffic(context, 3, withRejoin);
    await tabs[0].waitForFunction(() => tab.durable.length >= 20);
    assert.equal(await killWorkers(browser), 1);
    for (const page of tabs) await page.waitForFunction(() => tab.rejoins.length + tab.ends.length > 0, undefined, { timeout: 15_000 });
    if (withRejoin) {
      // All tabs share the next stream: each receives the messages of the others.
      for (const page of tabs) await page.evaluate(() => void (tab.from = tab.received.length));
      for (const page of tabs) {
        await page.waitForFunction(() => [0, 1, 2].every((number) => tab.received.slice(tab.from).some((text) => text.startsWith(`${number} `))));
      }
    }
    for (const page of tabs) await page.evaluate(() => clearInterval(tab.timer));
    for (const page of tabs) {
      await page.waitForFunction(() => tab.stream.bufferedAmount === 0);
      const { durable, rejected, rejoins, ends, received } = await page.evaluate(() => tab);
      assert.deepEqual([rejoins.length, ends], withRejoin ? [1, []] : [0, ['shared worker lost']]);
      if (withRejoin) assert.deepEqual([rejoins[0].fresh, rejoins[0].unsent.map(({ message }) => message)], [true, rejected]);
      // Every send has one result, and nothing arrives twice.
      assert.equal(new Set([...durable, ...rejected]).size, durable.length + rejected.length);
      assert.equal(new Set(received).size, received.length);
    }
    await context.close();
  });
}

test('the last tab of a shared stream leaves right after its sends: all arrive', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/shared.html`);
  const metric = 'minerva_core_messages_c2s_total';
  await page.evaluate(async () => (tab.start(), tab.stream.send('first')));
  const before = await deployment.coreMetric(metric);
  await page.evaluate(() => {
    for (let i = 0; i < 20; i += 1) tab.stream.send(`${i}`);
    addEventListener('pagehide', () => tab.stream.send('last'));
    location.href = 'about:blank';
  });
  for (const start = Date.now(); (await deployment.coreMetric(metric)) < before + 21; ) {
    assert(Date.now() - start < 15_000, `${await deployment.coreMetric(metric)} after ${before}`);
  }
  await context.close();
});

test('a frozen tab delays no other one, and has all messages when it runs again', async () => {
  const context = await browser.newContext();
  const [frozen, other] = [await context.newPage(), await context.newPage()];
  for (const page of [frozen, other]) {
    await page.goto(`${proxy.url}/shared.html`);
    await page.evaluate(async () => (tab.start(), tab.stream.send('here')));
  }
  const session = await context.newCDPSession(frozen);
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  const texts = Array.from({ length: 50 }, (_, i) => `${i}`);
  await other.evaluate((texts) => Promise.all(texts.map((text) => tab.stream.send(text))), texts);
  await session.send('Page.setWebLifecycleState', { state: 'active' });
  for (const page of [frozen, other]) {
    // A tab receives only those messages `here` that follow its start.
    await page.waitForFunction(() => tab.received.filter((text) => text !== 'here').length >= 50 || tab.stream.end);
    const own = await page.evaluate(() => tab.received.filter((text) => text !== 'here'));
    assert.deepEqual(own, texts);
  }
  await frozen.evaluate(() => tab.stream.send('awake'));
  await context.close();
});

test('every tab of a shared stream asks questions, and `close` ends the stream for all', async () => {
  const context = await browser.newContext();
  const tabs = [await context.newPage(), await context.newPage()];
  for (const page of tabs) {
    await page.goto(`${proxy.url}/shared.html`);
    await page.evaluate(async () => {
      tab.start();
      // The service echoes messages, so a question of a tab comes back, and one tab answers.
      tab.asked = [];
      tab.stream.qan.handle({ question: (body) => (tab.asked.push(body), `answer to ${body}`) });
    });
  }
  const answers = await Promise.all(tabs.map((page, i) => page.evaluate((i) => Promise.all([1, 2, 3].map((n) => tab.stream.qan.ask(`${i} ${n}`))), i)));
  assert.deepEqual(answers, [0, 1].map((i) => [1, 2, 3].map((n) => `answer to ${i} ${n}`)));
  assert.deepEqual(await Promise.all(tabs.map((page) => page.evaluate(() => tab.asked.length))), [6, 0]);
  await tabs[1].evaluate(() => tab.stream.close('done'));
  await tabs[0].waitForFunction(() => tab.stream.state === 'ended');
  assert.equal(await tabs[0].evaluate(() => tab.stream.end.reason), 'done');
  await context.close();
});
