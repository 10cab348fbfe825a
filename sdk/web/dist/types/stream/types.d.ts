/**
 * The words between the stream machine and the shell that runs it: what the machine asks for, and
 * what it remembers of a transport.
 */
/** What can carry server-to-client strings. */
export type Kind = 'websocket' | 'http-stream' | 'long-poll';
/** All kinds, the best one first. */
export declare const KINDS: readonly Kind[];
/** Whether `a` is better than `b`. */
export declare function isBetter(a: Kind, b: Kind): boolean;
/**
 *     connecting ──first transport answers──> open <──another answers──┐
 *         │                                    └──none is left──> reconnecting
 *         └──────── a reset by either side, stream_attach_failure ────────> ended
 */
export type State = 'connecting' | 'open' | 'reconnecting' | 'ended';
/** Side effects, to be executed in order. `key` names a transport between the machine and its shell. */
export type Output = 
/** Make a transport and write these frames first. A WebSocket gets none: they follow once it is open. */
{
    readonly do: 'open';
    readonly key: number;
    readonly kind: Kind | 'upload';
    readonly frames: readonly string[];
} | {
    readonly do: 'write';
    readonly key: number;
    readonly frames: readonly string[];
}
/** Close it and tell the machine nothing more about it. */
 | {
    readonly do: 'close';
    readonly key: number;
} | {
    readonly do: 'deliver';
    readonly text: string;
}
/** The string of this number is durable on the other side. */
 | {
    readonly do: 'acked';
    readonly number: number;
} | {
    readonly do: 'state';
    readonly state: State;
}
/** Another kind carries the stream (null: none), and why. */
 | {
    readonly do: 'transport';
    readonly kind: Kind | null;
    readonly why: string;
} | {
    readonly do: 'end';
    readonly end: End;
};
/** How a stream ended. */
export interface End {
    readonly reason: string;
    /** An application said so, on either side; not the machinery below. */
    readonly applicationLevel: boolean;
    /** Which side ended it. */
    readonly by: 'client' | 'server';
}
/** How a transport ended: by its normal way, by an error, or because the server has no time now. */
export type TransportOutcome = 'ended' | 'failed' | 'unavailable';
/** What the machine remembers of one transport. */
export interface Transport {
    /** Names it to the shell. */
    readonly key: number;
    readonly kind: Kind | 'upload';
    /** Why it was opened. */
    readonly why: string;
    /** Names it to the server; given with the hello. */
    number: number;
    /** When it was asked for; for a WebSocket, once it is open, when that was. */
    openedAt: number;
    /** Frames may be written. */
    opened: boolean;
    /** The server is known to have attached it. */
    attached: boolean;
    /** When something came last. */
    lastReceivedAt: number;
    /** Why it is to be succeeded; empty: it is not. */
    replaceReason: string;
    /** It may be dead; it goes on until a successor works, or fails. */
    suspect: boolean;
    /** The server said that it ends: no more is written to it. */
    closing: boolean;
    /** New strings came or own ones were acknowledged on it. */
    progress: boolean;
    /** Lost when nothing comes until then. */
    deadline: number;
    /** Whether own strings went out on it. */
    hasSent: boolean;
    /** The number the next string written to it has without a SeqNum frame. */
    nextOut: number;
    /** The number of the next string that comes on it. */
    nextIn: number;
}
export interface Counters {
    /** Strings given to `send`. */
    sent: number;
    /** Of these, durable on the other side. */
    acknowledged: number;
    /** Strings delivered. */
    received: number;
    /** How often the stream was without a transport and found one again. */
    reconnects: number;
}
/** What a stream is made with. */
export interface StreamOptions {
    readonly id: string;
    /** The only kind to use, or `auto`: the best that works. */
    readonly kind: Kind | 'auto';
    /** The best kind that worked the last time, if any. */
    readonly known?: Kind;
    readonly cred?: string;
    /** Seconds of silence after which the server sends a heartbeat. */
    readonly heartbeat?: number;
    /** Uniform in [0, 1). */
    readonly random: () => number;
    /** Called just before an upload: what it sends travels along. */
    readonly beforeUpload?: () => void;
}
