// The bad networks of networks.test.mjs: settings of the fault proxy and of the network path, traffic, and events
// during the measurement.
import { setTimeout as sleep } from 'node:timers/promises';

/** A tick of the server every 50 ms and a message of the page every 100 ms, without silences. */
export const STEADY = { every: 50, sendEvery: 100, on: 1e9, off: 0 };
/** Silences longer than the idle cut. */
const BURSTS = { ...STEADY, on: 2_000, off: 9_000 };
/** Time in ms after a login or a change of the network within which the stream must work again. */
const RECOVERY_TIME = 6_000;
/** Time in ms within which the client leaves a kind that works for moments only. */
const LEARNING_TIME = 8_000;

/**
 * `proxy` and `link`: settings of FaultProxy and LinkProxy. `settle`: seconds before connections are counted.
 * `isStable`: false if the network cuts connections for ever, or changes. `least`: seconds that show the fault.
 * `kind`: the kind of transport that must carry the stream at the end. `isShort`: part of the short form.
 */
const DEFAULTS = {
  proxy: {}, link: {}, traffic: STEADY, settle: 15, isStable: true, least: 10, during: () => {}, isShort: false,
};
const HTTP = { kind: 'http-stream' };
const POLLS = { kind: 'long-poll' };
const SOCKET = { kind: 'websocket' };

export const NETWORKS = [
  { name: 'WebSocket blocked', proxy: { websocket: 'refuse' }, ...HTTP },
  { name: 'WebSocket hung', proxy: { websocket: 'hang' }, ...HTTP },
  { name: 'WebSocket reset', proxy: { websocket: 'reset' }, ...HTTP },
  { name: 'WebSocket stripped', proxy: { websocket: 'strip' }, ...HTTP },
  { name: 'WebSocket corrupted', proxy: { websocket: 'corrupt' }, ...HTTP, during: learnCorruption, isShort: true },
  { name: 'WebSocket deaf', proxy: { websocket: 'deaf' }, ...HTTP, settle: 30, least: 25, isShort: true },
  { name: 'WebSocket answered with 200', proxy: { websocket: 'page' }, ...HTTP },
  { name: 'HTTP buffered fully, WebSocket blocked', proxy: { websocket: 'refuse', buffer: Infinity }, ...POLLS },
  { name: 'HTTP buffered at 4 KiB, WebSocket blocked', proxy: { websocket: 'refuse', buffer: 4096 }, ...POLLS, isShort: true },
  { name: 'HTTP buffered at 64 KiB, WebSocket blocked', proxy: { websocket: 'refuse', buffer: 65536 }, ...POLLS },
  { name: 'both: HTTP buffered fully, WebSocket hung', proxy: { websocket: 'hang', buffer: Infinity }, ...POLLS, isShort: true },
  { name: 'cut at 20 s', link: { cutAfter: 20_000 }, ...SOCKET, isStable: false, least: 45 },
  { name: 'idle cut at 5 s', link: { idleCutAfter: 5_000 }, ...SOCKET, traffic: BURSTS, settle: 30, least: 32 },
  { name: 'captive portal', during: portal, ...SOCKET, isStable: false, least: 20, isShort: true },
  { name: 'offline and online', during: offline, ...SOCKET, isStable: false, least: 20, isShort: true },
  { name: 'slow: 50 kbit/s, round trip 500 ms', link: { rate: 6_250, delay: 250 }, ...SOCKET, isShort: true },
].map((network) => ({ ...DEFAULTS, ...network }));

/** The first WebSockets work until a piece is damaged. */
async function learnCorruption({ link }) {
  link.faults.push([Date.now(), Date.now() + LEARNING_TIME]);
}

/** A login page answers everything for a quarter of the time. */
async function portal({ link, proxy, seconds }) {
  await sleep(seconds * 250);
  const from = Date.now();
  proxy.portal = true;
  link.cutAll();
  await sleep(seconds * 250);
  proxy.portal = false;
  link.faults.push([from, Date.now() + RECOVERY_TIME]);
}

/** The browser is offline for a quarter of the time. */
async function offline({ link, context, page, seconds }) {
  const dispatch = (type) => page.evaluate((type) => void dispatchEvent(new Event(type)), type);
  await sleep(seconds * 250);
  const from = Date.now();
  link.goOffline();
  // Playwright reports the change to the page; Firefox has no such command.
  await (context.setOffline ? context.setOffline(true) : dispatch('offline'));
  await sleep(seconds * 250);
  link.goOnline();
  await (context.setOffline ? context.setOffline(false) : dispatch('online'));
  link.faults.push([from, Date.now() + RECOVERY_TIME]);
}
