// The demo page on each transport: messages arrive exactly once and in order in both directions, also while the stream
// moves between transports, loses its connection, or the server is killed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DemoPage, KINDS, launch } from './demo_page.mjs';
import { Minerva } from './minerva.mjs';

let minerva;
let browser;

before(async () => {
  [minerva, browser] = await Promise.all([Minerva.start(), launch()]);
});

after(async () => {
  await browser?.close();
  await minerva?.stop();
});

async function withPage(options, body) {
  const page = await DemoPage.open(browser, minerva, options);
  try {
    await body(page);
  } finally {
    await page.close();
  }
}

for (const kind of KINDS) {
  test(`${kind}: sent lines return`, () => withPage({ kind }, async (page) => {
    await page.sendLine('Hello');
    await page.sendLine('<img src=x onerror=alert(1)> & "quoted" \u2603 \u{1f600}');
    await page.expectNothingLost();
    const lines = await page.page.$$eval('#lines .own', (items) => items.map((item) => item.lastChild.textContent));
    assert.deepEqual(lines, ['Hello', '<img src=x onerror=alert(1)> & "quoted" \u2603 \u{1f600}']);
    assert.equal(await page.page.$('#lines img'), null);
    assert.equal(await page.number('reconnects'), 0);
  }));

  test(`${kind}: a hundred lines at once`, () => withPage({ kind }, async (page) => {
    await page.page.click('#burst');
    await page.expectNothingLost();
    assert.equal(await page.page.getAttribute('#check', 'data-returned'), '100');
  }));

  test(`${kind}: switching to the other kinds and back under steady pings`, () => withPage({ kind }, async (page) => {
    await page.togglePings();
    await page.waitForPongs(5);
    for (const other of [...KINDS.filter((each) => each !== kind), kind]) {
      await page.switchTo(other);
      await page.waitForPongs(5);
    }
    await page.togglePings();
    await page.expectNothingLost();
  }));

  test(`${kind}: five cuts`, () => withPage({ kind }, async (page) => {
    await page.togglePings();
    for (let cuts = 0; cuts < 5; cuts += 1) {
      await page.waitForPongs(3);
      await page.page.click('#cut');
      await page.waitForTransport(kind);
    }
    await page.togglePings();
    await page.expectNothingLost();
    assert((await page.number('reconnects')) >= 5);
  }));

  test(`${kind}: the server is killed and restarted`, () => withPage({ kind }, async (page) => {
    await page.togglePings();
    for (let kills = 0; kills < 3; kills += 1) {
      await page.waitForPongs(5);
      await page.sendLine(`before kill ${kills}`);
      await minerva.kill();
      await page.page.waitForSelector('#status[data-state=reconnecting]');
      await page.sendLine(`while the server is down ${kills}`);
      await sleep(300);
      await minerva.run();
      await page.waitForTransport(kind);
    }
    await page.waitForPongs(5);
    await page.togglePings();
    await page.expectNothingLost();
    assert.equal(await page.page.getAttribute('#check', 'data-returned'), '6');
    assert((await page.number('reconnects')) >= 3);
  }));

  test(`${kind}: the browser is offline for 1.5 s`, () => withPage({ kind }, async (page) => {
    await page.togglePings();
    await page.waitForPongs(3);
    await page.context.setOffline(true);
    await sleep(1500);
    await page.context.setOffline(false);
    await page.waitForPongs(20);
    await page.togglePings();
    await page.expectNothingLost();
  }));

  test(`${kind}: a stream lost by the server ends, and a new one starts`, () => withPage({ kind }, async (page) => {
    await minerva.kill();
    minerva.deleteState();
    await minerva.run();
    await page.page.waitForSelector('#status[data-state=ended]');
    assert((await page.text('problem')).includes('stream_attach_failure'), await page.text('problem'));
    await page.page.click('#restart');
    await page.waitForTransport(kind);
    await page.sendLine('again');
    await page.expectNothingLost();
  }));
}

test('all members see the same lines in the same order', async () => {
  const room = `together-${process.pid}`;
  const pages = await Promise.all(KINDS.map((kind) => DemoPage.open(browser, minerva, { kind, room })));
  await Promise.all(pages.map((page) => page.page.click('#burst')));
  for (const page of pages) {
    await page.expectNothingLost();
    await page.waitFor(() => document.querySelectorAll('#lines li:not(.note)').length >= 300);
  }
  await Promise.all(pages.map((page) => page.close()));
});

test('light and dark mode have sufficient contrast', async () => {
  const backgrounds = new Set();
  for (const colorScheme of ['light', 'dark']) {
    await withPage({ context: { colorScheme } }, async (page) => {
      await page.sendLine('Can you read this?');
      await page.expectNothingLost();
      const ratios = await page.page.evaluate(contrasts);
      for (const { name, ratio } of ratios) assert(ratio >= 4.5, `${colorScheme}: ${name} has ${ratio}`);
      backgrounds.add(await page.page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    });
  }
  assert.equal(backgrounds.size, 2, 'both modes look the same');
});

/** Runs in the page; returns the contrast ratio of each visible text and its background. */
function contrasts() {
  const parse = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (color) => {
    const [r, g, b] = parse(color).map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (parse(color)[3] !== 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('h1, h2, p, dt, dd, button, li, input, .who, #state')]
    .filter((element) => element.offsetParent !== null && element.textContent.trim() !== '')
    .map((element) => {
      const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      return { name: element.id || element.className || element.textContent.trim().slice(0, 20), ratio };
    });
}

for (const [width, height] of [[320, 568], [390, 844]]) {
  test(`a phone of ${width} by ${height}: no horizontal scrolling, and all buttons within reach`, () =>
    withPage({ context: { viewport: { width, height }, hasTouch: true, isMobile: true } }, async (page) => {
      await page.sendLine('x'.repeat(500));
      await page.sendLine('a line of words '.repeat(30));
      await page.expectNothingLost();
      const { scroll, client } = await page.page.evaluate(() => ({
        scroll: document.documentElement.scrollWidth,
        client: document.documentElement.clientWidth,
      }));
      assert(scroll <= client, `${scroll} > ${client}`);
      for (const button of await page.page.$$('button:visible')) {
        const box = await button.boundingBox();
        assert(box.height >= 44, `${await button.textContent()}: ${box.height} high`);
        assert(box.x >= 0 && box.x + box.width <= width, await button.textContent());
      }
    }));
}

test('every control has an accessible name', () => withPage({}, async (page) => {
  const nameless = await page.page.$$eval('button, input', (elements) =>
    elements.filter((e) => !(e.textContent.trim() || e.labels?.length || e.getAttribute('aria-label'))).map((e) => e.id));
  assert.deepEqual(nameless, []);
}));

test('a screenshot of the page', async (t) => {
  const path = process.env.SCREENSHOT;
  if (!path) return t.skip('SCREENSHOT is not set');
  const named = (name, options) => DemoPage.open(browser, minerva, { room: 'lobby', name, ...options });
  const context = { viewport: { width: 1180, height: 1080 }, colorScheme: process.env.SCHEME ?? 'light' };
  const ann = await named('Ann', { context });
  const bob = await named('Bob', { kind: 'http-stream' });
  await bob.sendLine('Hello Ann! I am here over an HTTP stream.');
  await bob.expectNothingLost();
  await ann.sendLine('Hello Bob. I have pings running, ten a second.');
  await ann.togglePings();
  await ann.waitForPongs(10);
  await ann.switchTo('long-poll');
  await ann.waitForPongs(10);
  await ann.page.click('#cut');
  await ann.waitForTransport('long-poll');
  await ann.sendLine('Now I have switched to long-poll, and cut it.');
  await ann.switchTo('websocket');
  await ann.waitForPongs(20);
  await bob.sendLine('Did you miss anything?');
  await bob.expectNothingLost();
  await ann.sendLine('No gap, no duplicate.');
  await ann.waitForPongs(30);
  await ann.waitFor(() => document.getElementById('check').dataset.sent === document.getElementById('check').dataset.returned);
  await ann.page.screenshot({ path });
  await Promise.all([ann.close(), bob.close()]);
});
