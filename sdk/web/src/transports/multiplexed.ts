/**
 * HTTP transports over the shared worker of the origin: all tabs share few connections, because browsers open six per
 * host with HTTP/1.1. `mux/tab.ts`, loaded with the first such transport, connects this page to the worker. Where no
 * worker can carry them, or it dies, transports have connections of their own. Used by the driver.
 */
import { joinLines } from '../framing.js';
import type { ChannelKind } from '../mux/schedule.js';
import { local } from '../stream/refusal.js';
import { openHttp, outcomeOf } from './http.js';
import type { Listener, TransportHandle } from './transport.js';

/** Longest time in ms for which a transport waits for the script. */
const LOAD_WAIT = 300;
/** Shortest time in ms between two refused requests that are repeated without the worker, to read the reason. */
const READ_INTERVAL = 10_000;
/** Longest request in characters for the worker; longer ones have a connection of their own. */
const MAX_BODY = 150_000;

type Script = typeof import('../mux/tab.js');

/** The script; null if it cannot be loaded. */
let script: Promise<Script | null> | null = null;
/** Time of the last repetition of a refused request. */
let readAt = -READ_INTERVAL;

/** Opens an HTTP transport, over the worker if possible. */
export function openMultiplexed(
  url: string,
  frames: readonly string[],
  listener: Listener,
  kind: ChannelKind,
  credentials: RequestCredentials,
): TransportHandle {
  const body = joinLines(frames);
  let direct: TransportHandle | null = null;
  const openDirectly = (): TransportHandle =>
    (direct = openHttp(url, frames, listener, kind !== 'http-stream', credentials));
  if (body.length > MAX_BODY || !isUsable(url)) return openDirectly();
  /** Reports the end of a channel. The worker passes no texts, so a refused request is repeated to read the reason. */
  const onEnd = (status: number, wait: number): void => {
    // The worker has died.
    if (status < 0) listener([], 'failed');
    else if (status === 200) listener([], 'ended');
    else if (!status) listener([], 'failed', local('network', `no connection to ${new URL(url).host}`));
    else if (performance.now() >= readAt + READ_INTERVAL) {
      readAt = performance.now();
      openDirectly();
    } else listener([], outcomeOf(status), { ...local('', ''), after: wait * 1000 });
  };
  let closed = false;
  let leave = (): void => {};
  const timer = setTimeout(openDirectly, LOAD_WAIT);
  script ??= import('../mux/tab.js').catch(() => null);
  void script.then((loaded) => {
    clearTimeout(timer);
    if (closed) return;
    if (loaded) leave = loaded.openChannel(url, kind, body, (lines) => listener(lines, null), onEnd, openDirectly, !!direct);
    else if (!direct) openDirectly();
  });
  const close = (): void => {
    closed = true;
    clearTimeout(timer);
    direct?.close();
    leave();
  };
  return { close };
}

/** True for a server of the page's origin over HTTP/1.1, in pages of browsers with shared workers. */
function isUsable(url: string): boolean {
  const { location, SharedWorker } = globalThis;
  if (!SharedWorker || new URL(url).origin !== location.origin) return false;
  const [page] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
  // Without an entry, `test` reads "undefined".
  return !/^h[23]/.test(page?.nextHopProtocol as string);
}
