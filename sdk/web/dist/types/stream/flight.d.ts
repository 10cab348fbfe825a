/**
 * Which own strings are on their way on the transport that carries them now, and which may follow.
 * One per stream; a new carrier starts again at the first unacknowledged string. Used by the
 * stream machine.
 */
import type { SendQueue } from '../window/send_queue.js';
import type { Transport } from './types.js';
/** Own bytes on a transport and not acknowledged: SACKs must not wait behind unread strings. */
export declare const IN_FLIGHT: number;
export declare class Flight {
    #private;
    /** Frames for the strings that may go out on `carrier` now: one string of any length, or IN_FLIGHT. */
    take(carrier: Transport, queue: SendQueue): string[];
    /** The string of this number and length was acknowledged. */
    onFreed(number: number, length: number): void;
}
