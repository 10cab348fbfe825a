import type { ReliableChannel } from './reliable_channel.js';
import type { Kind, Transport } from './types.js';
/** ms from a hello to its answer. */
export declare const PATIENCE = 15000;
export declare class TransportFactory {
    readonly dialogue: ReliableChannel;
    readonly id: string;
    readonly cred: string | undefined;
    /** Seconds of silence after which the server sends a heartbeat. */
    readonly heartbeat: number;
    /** Transports made, and hellos written so far. */
    made: number;
    greeted: number;
    constructor(dialogue: ReliableChannel, id: string, cred: string | undefined, 
    /** Seconds of silence after which the server sends a heartbeat. */
    heartbeat: number);
    transport(kind: Kind | 'upload', why: string, now: number): Transport;
    /** The hello of a transport, which gets its number. `proven`: of a long-poll that follows one that worked. */
    hello(transport: Transport, predecessor: Transport | null, maxPoll: number, proven?: boolean): string;
}
