/**
 * Which own strings are on their way on the transport that carries them now, and which may follow.
 * One per stream; a new carrier starts again at the first unacknowledged string. Used by the
 * stream machine.
 */
import type { SendQueue } from '../window/send_queue.js';
import type { Transport } from './types.js';
/** Own bytes on a transport and not acknowledged: SACKs must not wait behind unread strings. */
export declare const MAX_IN_FLIGHT: number;
/** ms in which a SACK should come, and so many more for each byte: 4 KB/s is a bad network. */
export declare const SACK_TIMEOUT = 5000;
export declare const SACK_TIMEOUT_PER_BYTE = 0.25;
export declare class InFlight {
    #private;
    /** Frames for the strings that may go out on `carrier` now: one string of any length, or MAX_IN_FLIGHT. */
    takeFrames(carrier: Transport, queue: SendQueue, now: number): string[];
    /** The string of this number and length was acknowledged. */
    onAcked(number: number, length: number, now: number): void;
    /** When a SACK for what was written to `carrier` should have come; Infinity: none is awaited. */
    sackDueAt(carrier: Transport): number;
}
