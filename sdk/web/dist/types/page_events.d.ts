/**
 * Browser events about the network, sleep and page lifecycle, delivered to one listener. Used by the driver.
 */
/** Event types after which the page may be on a different network. */
export declare const NETWORK_CHANGES: string[];
/**
 * Subscribes `listener` and returns the function that unsubscribes. Outside browsers, absent sources are skipped.
 * `change` is reported for another type of network only: the browser fires that event also when its estimates of
 * throughput and round trip drift. `offline` is not reported, because established connections may still work.
 */
export declare function listenToPage(listener: (event: Event) => void): () => void;
