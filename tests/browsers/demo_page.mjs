// Driver of the demo page in Chromium, for tests and for tests/compose.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

export const KINDS = ['websocket', 'http-stream', 'long-poll'];
/** Timeout in ms of each wait; long enough for a debug build that recovers on a busy machine. */
const WAIT_TIMEOUT = 40_000;

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
}

/** Kills all shared workers as a system without memory does; returns their number. */
export async function killWorkers(browser) {
  const session = await browser.newBrowserCDPSession();
  const { targetInfos } = await session.send('Target.getTargets');
  const workers = targetInfos.filter(({ type }) => type === 'shared_worker');
  for (const { targetId } of workers) await session.send('Target.closeTarget', { targetId });
  return workers.length;
}

let rooms = 0;

export class DemoPage {
  /** Uncaught errors, console errors other than lost connections, and requests to other hosts. */
  problems = [];

  static async open(browser, minerva, { kind = 'websocket', room, name, context = {} } = {}) {
    const demo = new DemoPage();
    demo.context = await browser.newContext(context);
    if (name) await demo.context.addInitScript((mine) => localStorage.setItem('minerva-name', mine), name);
    demo.page = await demo.context.newPage();
    demo.page.setDefaultTimeout(WAIT_TIMEOUT);
    demo.page.on('pageerror', (error) => demo.problems.push(`${error}`));
    demo.page.on('console', (message) => {
      // Chromium logs every lost or refused connection.
      const lost = /net::ERR_|WebSocket connection to|Failed to load resource/;
      if (message.type() === 'error' && !lost.test(message.text())) demo.problems.push(message.text());
    });
    const home = new URL(minerva.url);
    demo.page.on('request', (request) => {
      if (new URL(request.url()).host !== home.host) demo.problems.push(`request to ${request.url()}`);
    });
    home.search = `?transport=${kind}`;
    home.hash = room ?? `test-${process.pid}-${rooms++}`;
    await demo.page.goto(home.href);
    await demo.waitForTransport(kind);
    return demo;
  }

  waitForTransport(kind) {
    return this.page.waitForSelector(`#status[data-state=open][data-transport=${kind}]`);
  }

  async text(id) {
    return (await this.page.textContent(`#${id}`)) ?? '';
  }

  async number(id) {
    return Number(await this.text(id));
  }

  /** Waits until `predicate`, which runs in the page, is true. */
  async waitFor(predicate, argument) {
    await this.page.waitForFunction(predicate, argument, { timeout: WAIT_TIMEOUT, polling: 50 });
  }

  async sendLine(text) {
    await this.page.fill('#text', text);
    await this.page.click('#send');
  }

  async switchTo(kind) {
    await this.page.click(`[data-switch=${kind}]`);
    await this.waitForTransport(kind);
  }

  async togglePings() {
    await this.page.click('#ping-toggle');
  }

  /** Waits for `count` more pongs. */
  async waitForPongs(count) {
    const pongs = await this.number('pongs');
    await this.waitFor((least) => Number(document.getElementById('pongs').textContent) >= least, pongs + count);
  }

  /** Waits until all lines and pings have returned, and asserts that each returned exactly once and in order. */
  async expectNothingLost() {
    try {
      await this.waitFor(() => {
        const number = (id) => Number(document.getElementById(id).textContent);
        const check = document.getElementById('check').dataset;
        return number('pings') === number('pongs') && number('sent') === number('acknowledged')
          && check.sent === check.returned;
      });
    } catch (error) {
      assert.fail(`${error.message}: ${JSON.stringify(await this.numbers())}`);
    }
    const numbers = await this.numbers();
    assert.equal(numbers.gaps, 0, JSON.stringify(numbers));
    assert.equal(numbers.duplicates, 0, JSON.stringify(numbers));
    assert.equal(await this.page.getAttribute('#check', 'data-ok'), 'true', await this.text('check'));
    assert.deepEqual(this.problems, []);
  }

  async numbers() {
    const numbers = {};
    for (const id of ['pings', 'pongs', 'gaps', 'duplicates', 'sent', 'acknowledged', 'received', 'reconnects']) {
      numbers[id] = await this.number(id);
    }
    return { ...numbers, check: await this.text('check'), problem: await this.text('problem'), log: await this.text('log') };
  }

  close() {
    return this.context.close();
  }
}
