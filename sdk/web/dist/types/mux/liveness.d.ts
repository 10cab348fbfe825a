/**
 * Detects the end of a shared worker, which browsers and systems kill without an event: the worker answers pings. Pure.
 * Used by both kinds of ports of a tab.
 */
/** Time in ms between two pings. */
export declare const PING_INTERVAL = 900;
export declare class Liveness {
    #private;
    constructor(now: number);
    /** Records a message of the worker. */
    onMessage(): void;
    /** Called every `PING_INTERVAL`; returns false if the worker is dead, else a ping is due. */
    tick(now: number): boolean;
}
