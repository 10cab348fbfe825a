/**
 * Writes the hello, the first frame of every transport. Knows no stream state. Used by the stream
 * machine.
 */
import type { Kind } from './stream/types.js';
/** Seconds of silence after which the server sends a heartbeat. */
export declare const MAX_SILENCE = 20;
/** Seconds a long-poll is held: below the minute at which many proxies give up. */
export declare const MAX_POLL = 50;
/** What a hello says; docs of each key: the protocol page, section Hello. */
export interface Hello {
    readonly tnum: number;
    readonly id: string;
    /** Make the stream if it does not exist: asked until a StreamCreated frame was seen. */
    readonly isNew: boolean;
    readonly ming: boolean;
    /** Seconds; 0: no heartbeats. */
    readonly maxia: number;
    /** SACK text: what the server is known to have. */
    readonly seenack: string;
    /** SACK text: what this side has. */
    readonly sack: string;
    /** Absent: an upload. Null or the number of the primary that this transport succeeds. */
    readonly eeds?: number | null;
    /** Seconds. */
    readonly maxt?: number;
    readonly cred?: string;
    readonly why?: string;
}
/** What depends on the kind of transport. `proven`: the hello of a long-poll that follows one that worked. */
export declare function helloOf(kind: Kind | 'upload', predecessor: number | null, proven: boolean): Pick<Hello, 'ming' | 'maxia' | 'eeds' | 'maxt'>;
/** The JSON text of a hello, in ASCII. */
export declare function helloToJson(hello: Hello): string;
