/**
 * HTTP transports over the shared worker of the origin: all tabs share few connections, because browsers open six per
 * host with HTTP/1.1. `mux/tab.ts`, loaded with the first such transport, connects this page to the worker. Where no
 * worker can carry them, or it dies, transports have connections of their own. Used by the driver.
 */
import type { OutFrame } from '../frames.js';
import { joinLines } from '../framing.js';
import type { ChannelKind } from '../mux/schedule.js';
import { local } from '../stream/refusal.js';
import type { Version } from '../stream/types.js';
import { openHttp, outcomeOf } from './http.js';
import type { Listener, TransportHandle } from './transport.js';

/** Longest time in ms for which a transport waits for the script. */
const LOAD_WAIT = 300;

type Script = typeof import('../mux/tab.js');

/** The script; null if it cannot be loaded. */
let script: Promise<Script | null> | null = null;

/** Opens an HTTP transport, over the worker if possible: requests of version 3 are not shared. */
export function openMultiplexed(
  url: string,
  version: Version,
  frames: readonly OutFrame[],
  listener: Listener,
  kind: ChannelKind,
  credentials: RequestCredentials,
): TransportHandle {
  let direct: TransportHandle | null = null;
  const openDirectly = (): TransportHandle =>
    (direct = openHttp(url, version, frames, listener, kind !== 'http-stream', credentials));
  if ((VERSION_3 && version === 3) || !isUsable(url)) return openDirectly();
  const report = (lines: readonly string[], status?: number, wait = 0): void => {
    if (status === undefined) listener(lines, null);
    else if (status === 200) listener([], 'ended');
    else if (status > 0) listener([], outcomeOf(status), { ...local('', ''), after: wait * 1000 });
    // The network has failed, or the worker has died.
    else listener([], 'failed', status < 0 ? undefined : local('network', `no connection to ${new URL(url).host}`));
  };
  let closed = false;
  let leave = (): void => {};
  const timer = setTimeout(openDirectly, LOAD_WAIT);
  script ??= import('../mux/tab.js').catch(() => null);
  void script.then((loaded) => {
    clearTimeout(timer);
    if (closed) return;
    if (loaded) leave = loaded.openChannel(url, kind, joinLines(frames as readonly string[]), report, openDirectly, !!direct);
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
