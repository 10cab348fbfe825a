/** The browser's events that tell of network, sleep and leaving, as one stream of them. Used by the driver. */
/** The network may be another one after these. */
export declare const NETWORK_CHANGES: string[];
/** Calls `listener` for each event; returns how to stop it. Outside browsers some or all never come. */
export declare function listenToPage(listener: (event: Event) => void): () => void;
