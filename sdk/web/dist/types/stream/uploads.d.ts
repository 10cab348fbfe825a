/**
 * Schedules uploads, the HTTP requests that carry client-to-server messages and SACKs while an HTTP transport is the
 * primary. One upload at a time, and at most two HTTP connections in total. Used by the stream machine.
 */
import type { OutFrame } from '../frames.js';
import type { TransportPolicy } from './transport_policy.js';
import type { ReliableChannel } from './reliable_channel.js';
import { RetryTimer } from './retry_timer.js';
import type { Transports } from './transports.js';
import type { Transport, TransportOutcome } from './types.js';
export declare class Uploads {
    readonly transports: Transports;
    readonly channel: ReliableChannel;
    readonly policy: TransportPolicy;
    /** Time of the next upload after failures. */
    readonly retry: RetryTimer;
    constructor(transports: Transports, channel: ReliableChannel, policy: TransportPolicy, random: () => number);
    /** Time at which messages, a SACK or a reset are due for an upload; Infinity if none is pending. */
    get dueAt(): number;
    /** Appends messages to the frames of a new upload and sets its deadline. */
    load(upload: Transport, frames: OutFrame[], now: number): void;
    /** Records the outcome; a failed upload is retried after a back-off, and its SACK is due again. */
    onClosed(upload: Transport, outcome: TransportOutcome, now: number): void;
}
