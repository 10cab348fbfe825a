/**
 * Time in ms without a message of a tab after which the tab counts as absent, crashed or frozen; browsers run the timers
 * of hidden tabs once a minute.
 */
export declare const TAB_TIMEOUT = 150000;
/** Runs in the worker: owns the stream and the ports of the tabs. */
export declare function serveSharedStream(scope: {
    name: string;
    onconnect: unknown;
}): void;
