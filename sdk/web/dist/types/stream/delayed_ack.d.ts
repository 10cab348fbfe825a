/**
 * Delayed acknowledgement: decides when a SACK for messages received on a WebSocket or an HTTP stream is due, so that
 * one SACK covers many messages. On a WebSocket, delays during which the server stays quiet are followed by immediate
 * SACKs, because the server may be waiting for them. Pure. Used by the receiver and the stream machine.
 */
/** Messages and bytes that end the delay without a timer; browsers fire timers late in hidden pages. */
export declare const MAX_DELAYED_MESSAGES = 16;
export declare const MAX_DELAYED_BYTES: number;
/** Longest delay in ms, counted from the first unacknowledged message. */
export declare const MAX_ACK_DELAY = 100;
/** The same on an HTTP stream, where a SACK without messages of the client costs a request. */
export declare const MAX_HTTP_ACK_DELAY = 1000;
/** A delay was useless if no message arrived in its last QUIET_TIME ms: the server may have waited for the SACK. */
export declare const QUIET_TIME = 75;
/** Upper bound of messages acknowledged at once after useless delays. */
export declare const MAX_IMMEDIATE_ACKS = 64;
export declare class DelayedAck {
    #private;
    /** Time at which the SACK is due in ms; 0 for at once, Infinity if all is acknowledged. */
    dueAt: number;
    /** Records an in-order message of `bytes` bytes, whose SACK may be delayed by `maxDelay` ms. */
    onReceived(bytes: number, now: number, maxDelay?: number): void;
    /** Records that a SACK for all received messages is being sent, and rates the delay if the full time passed. */
    onSackSent(now: number): void;
}
