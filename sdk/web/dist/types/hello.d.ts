/**
 * Content of the hello, the first frame of every transport. Independent of stream state. Used by the stream
 * machine.
 */
/** Default heartbeat interval in seconds. */
export declare const DEFAULT_HEARTBEAT = 20;
/** Longest time in seconds for which the server may hold a long-poll; many proxies time out after a minute. */
export declare const MAX_POLL_TIME = 50;
/** Keys of a hello; docs/protocol.md describes each one in its section on the hello. Undefined keys are omitted. */
export interface Hello {
    readonly ver: 2 | 3;
    readonly tnum: number;
    readonly id: string;
    /** Create the stream if absent; set until a StreamCreated frame arrives. */
    readonly new: true | undefined;
    readonly ming: boolean;
    /** Heartbeat interval of the server in seconds; 0 for none. */
    readonly maxia: number;
    /** Longest silence of the client in seconds. */
    readonly beat: number;
    /** SACK text of client-to-server messages that the server has acknowledged. */
    readonly seenack: string;
    /** SACK text of server-to-client messages that this client has received. */
    readonly sack: string | undefined;
    /** Transport number of the predecessor, null without one; absent on an upload and a probe. */
    readonly eeds: number | null | undefined;
    /** Longest time in seconds for which the server holds a long-poll. */
    readonly maxt: number | undefined;
    readonly cred: string | undefined;
    readonly why: string;
    /** Proof of ownership; this key and the following ones in version 3 only. */
    readonly key?: string | undefined;
    /** Stream number and claim tag of the creation, once known. */
    readonly born?: string | undefined;
    /** Claim tags of the received messages. */
    readonly line?: string | undefined;
}
/** Longest credentials in UTF-8 bytes that servers accept. */
export declare const MAX_CRED = 8192;
/** Returns whether servers accept a value as credentials. */
export declare function isCred(value: unknown): value is string;
/**
 * Serialises a value as JSON in printable ASCII, the characters that a stream carries. JSON.parse restores the value.
 *
 *     stream.send(toJson({ text: 'Grüße' }));
 */
export declare function toJson(value: unknown): string;
