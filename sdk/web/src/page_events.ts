/**
 * Browser events about the network, sleep and page lifecycle, delivered to one listener. Used by the driver.
 */

/** Event types after which the page may be on a different network. */
export const NETWORK_CHANGES = ['online', 'change'];

/** Part of the Network Information API. */
interface Connection extends EventTarget {
  readonly type?: string;
}

/**
 * Subscribes `listener` and returns the function that unsubscribes. Outside browsers, absent sources are skipped.
 * `change` is reported for another type of network only: the browser fires that event also when its estimates of
 * throughput and round trip drift. `offline` is not reported, because established connections may still work.
 */
export function listenToPage(listener: (event: Event) => void): () => void {
  const { document, navigator } = globalThis;
  const connection = (navigator as { connection?: Connection } | undefined)?.connection;
  const sources: [EventTarget | undefined, string[]][] = [
    [globalThis, ['online', 'pagehide', 'pageshow']],
    [document, ['visibilitychange', 'resume']],
  ];
  let type = connection?.type;
  const onChange = (event: Event): void => {
    // The type `none` precedes `online` or the next type.
    const next = (event.target as Connection).type;
    if (next === type || next === 'none') return;
    type = next;
    listener(event);
  };
  // An AbortController has a `signal` property and so serves as the listener options.
  const stop = new AbortController();
  for (const [target, types] of sources) for (const type of types) target?.addEventListener?.(type, listener, stop);
  connection?.addEventListener?.('change', onChange, stop);
  return () => stop.abort();
}
