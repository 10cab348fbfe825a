/** The browser's events that tell of network, sleep and leaving, as one stream of them. Used by the driver. */

/** The network may be another one after these. */
export const NETWORK_CHANGES = ['online', 'offline', 'change'];

/** Calls `listener` for each event; returns how to stop it. Outside browsers some or all never come. */
export function listenToPage(listener: (event: Event) => void): () => void {
  const { document, navigator } = globalThis;
  const connection = (navigator as { connection?: EventTarget } | undefined)?.connection;
  const sources: [EventTarget | undefined, string[]][] = [
    [globalThis, ['online', 'offline', 'pagehide', 'pageshow']],
    [document, ['visibilitychange', 'resume']],
    [connection, ['change']],
  ];
  // As the listener's options it brings the `signal` that ends it.
  const stop = new AbortController();
  for (const [target, types] of sources) for (const type of types) target?.addEventListener?.(type, listener, stop);
  return () => stop.abort();
}
