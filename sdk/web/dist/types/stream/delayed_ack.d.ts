/**
 * The SACK's patience: how long one for strings that come on a WebSocket may wait, so that it covers many. A
 * server that waits for it is not kept waiting often. Knows no strings and no clock. Used by the stream machine.
 */
/** From so many strings or bytes on it waits no more: that needs no timer, which browsers run late in hidden pages. */
export declare const MAX_DELAYED_MESSAGES = 16;
export declare const MAX_DELAYED_BYTES: number;
/** ms after the first string. */
export declare const MAX_ACK_DELAY = 100;
/** A wait in whose last ms no string came was in vain: the server may have waited, too. */
export declare const QUIET_TIME = 75;
/** Strings that are answered at once after waits in vain, at most. */
export declare const MAX_IMMEDIATE_ACKS = 64;
export declare class DelayedAck {
    #private;
    /** When the SACK is due; 0: at once, Infinity: there is nothing to say. */
    dueAt: number;
    /** The next string in order came on a WebSocket. */
    onReceived(bytes: number, now: number): void;
    /** The SACK goes out; all is said. */
    onSackSent(now: number): void;
}
