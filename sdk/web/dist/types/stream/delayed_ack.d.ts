/**
 * Delayed acknowledgement: decides when a SACK for messages received on a WebSocket is due, so that one SACK covers
 * many messages. Delays during which the server stays quiet are followed by immediate SACKs, because the server may
 * be waiting for them. Pure. Used by the receiver and the stream machine.
 */
/** Messages and bytes that end the delay without a timer; browsers fire timers late in hidden pages. */
export declare const MAX_DELAYED_MESSAGES = 16;
export declare const MAX_DELAYED_BYTES: number;
/** Longest delay in ms, counted from the first unacknowledged message. */
export declare const MAX_ACK_DELAY = 100;
/** A delay was useless if no message arrived in its last QUIET_TIME ms: the server may have waited for the SACK. */
export declare const QUIET_TIME = 75;
/** Upper bound of messages acknowledged at once after useless delays. */
export declare const MAX_IMMEDIATE_ACKS = 64;
export declare class DelayedAck {
    #private;
    /** Time at which the SACK is due in ms; 0 for at once, Infinity if all is acknowledged. */
    dueAt: number;
    /** Records an in-order message of `bytes` bytes received on a WebSocket. */
    onReceived(bytes: number, now: number): void;
    /** Records that a SACK for all received messages is being sent, and rates the delay if the full time passed. */
    onSackSent(now: number): void;
}
