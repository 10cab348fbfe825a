// Driver of the page echo.html for tests in any browser. Functions passed to `evaluate` run in the page, where `client`
// is the object defined by echo.html.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const PAGES = { '/echo.html': readFileSync(new URL('echo.html', import.meta.url), 'utf8') };

/** Runs a test on the page in a context of its own, which is closed afterwards. */
export async function onEchoPage(context, proxy, body) {
  const page = await context.newPage();
  await page.goto(`${proxy.url}/echo.html`);
  try {
    await body(new EchoPage(page), context);
  } finally {
    await context.close();
  }
}

export class EchoPage {
  constructor(page) {
    this.page = page;
  }

  evaluate(body, argument) {
    return this.page.evaluate(body, argument);
  }

  /** Opens a stream and sends `count` messages. */
  async start(options = {}, count = 1) {
    await this.page.evaluate(([options, count]) => client.start(options, count), [options, count]);
  }

  /** Sends so many messages. */
  send(count) {
    return this.page.evaluate((count) => client.send(count), count);
  }

  /** Sends one message every `ms` until `expectAll`. */
  sendEvery(ms = 20) {
    return this.page.evaluate((ms) => client.sendEvery(ms), ms);
  }

  /** Returns the counts of the page and of the stream. */
  numbers() {
    return this.page.evaluate(() => {
      const { sent, received, durable, wrong, changes, first, end, stream } = client;
      const { transport, state, counters } = stream;
      return { sent, received, durable, wrong, changes, first, end, transport, state, ...counters };
    });
  }

  /** Waits until `holds(numbers)` is true and returns the numbers. */
  async until(holds, ms = 40_000) {
    for (const start = Date.now(); ; await sleep(20)) {
      const numbers = await this.numbers();
      if (holds(numbers)) return numbers;
      if (Date.now() - start > ms) assert.fail(`not within ${ms} ms: ${JSON.stringify(numbers)}`);
    }
  }

  /** Stops sending, waits for all echoes, and asserts that each arrived exactly once and in order. */
  async expectAll(ms) {
    await this.page.evaluate(() => client.stop());
    const numbers = await this.until((n) => n.received === n.sent && n.durable === n.sent, ms);
    assert.deepEqual(numbers.wrong, []);
    assert.equal(numbers.end, null);
    return numbers;
  }
}
