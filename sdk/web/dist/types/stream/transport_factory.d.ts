import type { ReliableChannel } from './reliable_channel.js';
import { type SessionStart } from './session_start.js';
import type { Kind, StreamOptions, Transport, Version } from './types.js';
/** Longest time in ms from a hello to the first response. */
export declare const REQUEST_TIMEOUT = 15000;
/** Length of a claim tag in characters. */
export declare const TAG_LENGTH = 16;
/** Times that the policy has learned: the longest poll in s, and the heartbeat interval in ms. */
interface HelloTimes {
    readonly maxPollTime: number;
    readonly heartbeat: number;
}
export declare class TransportFactory {
    readonly channel: ReliableChannel;
    readonly options: StreamOptions;
    /** Heartbeat interval of the server in seconds. */
    readonly heartbeat: number;
    /** Transports created and hellos encoded so far. */
    transportsMade: number;
    hellosSent: number;
    /** Hellos that the server refused without a stream. */
    hellosRefused: number;
    /** Version of the next hello, and whether version 2 may replace version 3: until the server accepts either one. */
    version: Version;
    mayFallBack: boolean;
    /** Creation of the stream, `STREAM.TAG`, from the welcome of version 3. */
    born: string | undefined;
    /** Credentials of hellos until the server has accepted the stream. */
    cred: string | undefined;
    /** Generation that the server has not accepted yet; absent otherwise. */
    adopting: SessionStart | undefined;
    constructor(channel: ReliableChannel, options: StreamOptions, 
    /** Heartbeat interval of the server in seconds. */
    heartbeat: number);
    /** Versions that the next transport offers: version 2 too, because a refused handshake would hide the reason. */
    get versions(): [Version, ...Version[]];
    /** Creates the record of a transport to be opened at `now`. */
    transport(kind: Kind | 'upload', why: string, now: number): Transport;
    /** Assigns the transport number and encodes the hello. A long-poll that follows a working one is attached already. */
    hello(transport: Transport, predecessor: Transport | null, { maxPollTime, heartbeat }: HelloTimes): string;
}
export {};
