// The page talk.html in some browser: what a test does with it. `evaluate` runs a function in the page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const PAGES = { '/talk.html': readFileSync(new URL('talk.html', import.meta.url), 'utf8') };

export class Talk {
  constructor(page) {
    this.page = page;
  }

  evaluate(body, argument) {
    return this.page.evaluate(body, argument);
  }

  async start(options = {}, count = 1) {
    await this.page.evaluate(([options, count]) => talk.start(options, count), [options, count]);
  }

  say(count) {
    return this.page.evaluate((count) => talk.say(count), count);
  }

  keepSaying(every = 20) {
    return this.page.evaluate((every) => talk.keepSaying(every), every);
  }

  numbers() {
    return this.page.evaluate(() => {
      const { sent, received, durable, wrong, changes, first, end, stream } = talk;
      return { sent, received, durable, wrong, changes, first, end, transport: stream.transport, state: stream.state, ...stream.counters };
    });
  }

  /** Waits until `holds`, given the numbers, is true; returns them. */
  async until(holds, ms = 40_000) {
    for (const start = Date.now(); ; await sleep(20)) {
      const numbers = await this.numbers();
      if (holds(numbers)) return numbers;
      if (Date.now() - start > ms) assert.fail(`not within ${ms} ms: ${JSON.stringify(numbers)}`);
    }
  }

  /** Stops; waits until all came back, and demands that it came right. */
  async expectAll(ms) {
    await this.page.evaluate(() => talk.stop());
    const numbers = await this.until((n) => n.received === n.sent && n.durable === n.sent, ms);
    assert.deepEqual(numbers.wrong, []);
    assert.equal(numbers.end, null);
    return numbers;
  }
}
