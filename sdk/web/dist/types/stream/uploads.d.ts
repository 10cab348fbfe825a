/**
 * When an upload is due: one at a time, never a third HTTP connection, none for what goes another way. Used
 * by the stream machine.
 */
import type { TransportPolicy } from './transport_policy.js';
import type { ReliableChannel } from './reliable_channel.js';
import { RetryTimer } from './retry_timer.js';
import type { Transports } from './transports.js';
import type { TransportOutcome, Transport } from './types.js';
export declare class Uploads {
    readonly transports: Transports;
    readonly dialogue: ReliableChannel;
    readonly course: TransportPolicy;
    readonly retry: RetryTimer;
    constructor(transports: Transports, dialogue: ReliableChannel, course: TransportPolicy, random: () => number);
    /** There is something to upload, as soon as `retry` allows it. */
    get due(): boolean;
    /** Adds own strings to the frames of an upload that begins. */
    load(upload: Transport, frames: string[], now: number): void;
    onGone(upload: Transport, ending: TransportOutcome, now: number): void;
}
