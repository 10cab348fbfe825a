/**
 * Browser events about the network, sleep and page lifecycle, delivered to one listener. Used by the driver.
 */

/** Event types after which the page may be on a different network. */
export const NETWORK_CHANGES = ['online', 'offline', 'change'];

/** Subscribes `listener` and returns the function that unsubscribes. Outside browsers, absent sources are skipped. */
export function listenToPage(listener: (event: Event) => void): () => void {
  const { document, navigator } = globalThis;
  const connection = (navigator as { connection?: EventTarget } | undefined)?.connection;
  const sources: [EventTarget | undefined, string[]][] = [
    [globalThis, ['online', 'offline', 'pagehide', 'pageshow']],
    [document, ['visibilitychange', 'resume']],
    [connection, ['change']],
  ];
  // An AbortController has a `signal` property and so serves as the listener options.
  const stop = new AbortController();
  for (const [target, types] of sources) for (const type of types) target?.addEventListener?.(type, listener, stop);
  return () => stop.abort();
}
