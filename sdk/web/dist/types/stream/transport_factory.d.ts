import type { ReliableChannel } from './reliable_channel.js';
import type { Kind, Transport } from './types.js';
/** ms from a hello to its answer. */
export declare const REQUEST_TIMEOUT = 15000;
export declare class TransportFactory {
    readonly channel: ReliableChannel;
    readonly id: string;
    readonly cred: string | undefined;
    /** Seconds of silence after which the server sends a heartbeat. */
    readonly heartbeat: number;
    /** Transports made, and hellos written so far. */
    transportsMade: number;
    hellosSent: number;
    constructor(channel: ReliableChannel, id: string, cred: string | undefined, 
    /** Seconds of silence after which the server sends a heartbeat. */
    heartbeat: number);
    transport(kind: Kind | 'upload', why: string, now: number): Transport;
    /** The hello of a transport, which gets its number. `proven`: of a long-poll that follows one that worked. */
    hello(transport: Transport, predecessor: Transport | null, maxPollTime: number, proven?: boolean): string;
}
