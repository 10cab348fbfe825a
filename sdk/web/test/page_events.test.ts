/** Browser events that reach the driver, with stand-ins for `navigator`. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { listenToPage } from '../src/page_events.js';

/** Returns the reported event types of `change` events with these network types, and of the events behind them. */
function reported(types: (string | undefined)[], ...events: string[]): string[] {
  const connection = Object.assign(new EventTarget(), { type: types[0] });
  const restore = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { connection }, configurable: true });
  const page = Object.assign(globalThis, { addEventListener: undefined as unknown });
  const target = new EventTarget();
  page.addEventListener = target.addEventListener.bind(target);
  const seen: string[] = [];
  const stop = listenToPage((event) => seen.push(event.type));
  for (const type of types.slice(1)) {
    connection.type = type;
    connection.dispatchEvent(new Event('change'));
  }
  for (const type of events) target.dispatchEvent(new Event(type));
  stop();
  connection.type = 'other';
  connection.dispatchEvent(new Event('change'));
  target.dispatchEvent(new Event('online'));
  Reflect.deleteProperty(globalThis, 'addEventListener');
  if (restore) Object.defineProperty(globalThis, 'navigator', restore);
  else Reflect.deleteProperty(globalThis, 'navigator');
  return seen;
}

test('changed estimates of throughput and round trip are not reported', () => {
  assert.deepEqual(reported([undefined, undefined, undefined]), []);
  assert.deepEqual(reported(['wifi', 'wifi', 'wifi']), []);
});

test('another type of network is reported once', () => {
  assert.deepEqual(reported(['wifi', 'cellular', 'cellular', 'wifi']), ['change', 'change']);
  assert.deepEqual(reported(['wifi', 'none', 'wifi']), []);
  assert.deepEqual(reported(['wifi', 'none', 'cellular']), ['change']);
});

test('online is reported, offline is not', () => {
  assert.deepEqual(reported([undefined], 'offline', 'online'), ['online']);
});
