/**
 * Messages in flight on the carrier, the transport that carries client-to-server messages, and the SACK timeout. One
 * per stream; a new carrier starts again at the first unacknowledged message. Used by the reliable channel.
 */
import { type OutFrame } from '../frames.js';
import type { SendQueue } from '../window/send_queue.js';
import type { Transport } from './types.js';
/** Unacknowledged bytes allowed on one transport; more would delay SACKs behind unread messages. */
export declare const MAX_IN_FLIGHT: number;
/** SACK timeout in ms, plus a share per byte in flight that allows for a slow network of 4 KB/s. */
export declare const SACK_TIMEOUT = 5000;
export declare const SACK_TIMEOUT_PER_BYTE = 0.25;
export declare class InFlight {
    #private;
    /**
     * Takes the frames that may be written to `carrier` now: messages of up to MAX_IN_FLIGHT bytes or one longer message,
     * and the reset behind them.
     */
    takeFrames(carrier: Transport, queue: SendQueue, reset: readonly string[], now: number): OutFrame[];
    /** Records the acknowledgement of a message with this number and length. */
    onAcked(number: number, length: number, now: number): void;
}
