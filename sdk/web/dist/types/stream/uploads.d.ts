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
    readonly channel: ReliableChannel;
    readonly policy: TransportPolicy;
    readonly retry: RetryTimer;
    constructor(transports: Transports, channel: ReliableChannel, policy: TransportPolicy, random: () => number);
    /** There is something to upload, as soon as `retry` allows it. */
    get isDue(): boolean;
    /** Adds own strings to the frames of an upload that begins. */
    load(upload: Transport, frames: string[], now: number): void;
    onClosed(upload: Transport, outcome: TransportOutcome, now: number): void;
}
