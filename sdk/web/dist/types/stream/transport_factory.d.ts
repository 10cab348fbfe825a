import type { ReliableChannel } from './reliable_channel.js';
import type { Kind, Transport } from './types.js';
/** Longest time in ms from a hello to the first response. */
export declare const REQUEST_TIMEOUT = 15000;
/** Times that the policy has learned: the longest poll in s, and the heartbeat interval in ms. */
interface HelloTimes {
    readonly maxPollTime: number;
    readonly heartbeat: number;
}
export declare class TransportFactory {
    readonly channel: ReliableChannel;
    readonly id: string;
    readonly cred: string | undefined;
    /** Heartbeat interval of the server in seconds. */
    readonly heartbeat: number;
    /** Transports created and hellos encoded so far. */
    transportsMade: number;
    hellosSent: number;
    /** Hellos that the server refused without a stream. */
    hellosRefused: number;
    constructor(channel: ReliableChannel, id: string, cred: string | undefined, 
    /** Heartbeat interval of the server in seconds. */
    heartbeat: number);
    /** Creates the record of a transport to be opened at `now`. */
    transport(kind: Kind | 'upload', why: string, now: number): Transport;
    /** Assigns the transport number and encodes the hello. A long-poll that follows a working one is attached already. */
    hello(transport: Transport, predecessor: Transport | null, { maxPollTime, heartbeat }: HelloTimes): string;
}
export {};
