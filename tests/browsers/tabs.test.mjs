// Many tabs of one origin over HTTP/1.1, where a browser opens six connections at most: they share a stream.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { KINDS, launch } from './demo_page.mjs';
import { Pair } from './pair.mjs';
import { Proxy } from './proxy.mjs';

let pair;
let proxy;
let browser;

before(async () => {
  [pair, browser] = await Promise.all([Pair.start(), launch()]);
  proxy = await Proxy.start(pair.port, { '/shared.html': readFileSync(new URL('shared.html', import.meta.url), 'utf8') });
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
  await pair?.stop();
});

beforeEach(() => proxy.clear());

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
        await tab.waitForFunction((most) => tab.heard.length >= most, count * 20);
        const heard = await tab.evaluate(() => tab.heard);
        for (let i = 0; i < count; i += 1) {
          const own = heard.filter((text) => text.startsWith(`${i} `));
          assert.deepEqual(own, Array.from({ length: 20 }, (_, n) => `${i} ${n}`));
        }
      }
      assert(proxy.mostConnections <= 6, `${proxy.mostConnections} connections`);
      assert(proxy.upgrades <= 1, `${proxy.upgrades} WebSockets`);
      // One that is closed is not missed.
      await tabs[0].close();
      await tabs[1].evaluate(() => tab.stream.send('still here'));
      await context.close();
    });
  }
}

test('a refused string is refused in its tab', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${proxy.url}/shared.html`);
  await page.evaluate(() => tab.start());
  await assert.rejects(page.evaluate(() => tab.stream.send('\n')), /toJson/);
  await context.close();
});
