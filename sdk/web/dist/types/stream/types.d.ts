/**
 * The words between the stream machine and the shell that runs it: what the machine asks for, and
 * what it remembers of a transport.
 */
/** What can carry server-to-client strings. */
export type Kind = 'websocket' | 'http-stream' | 'long-poll';
/**
 *     connecting ──first transport answers──> open <──another answers──┐
 *         │                                    └──none is left──> reconnecting
 *         └──────── a reset by either side, stream_attach_failure ────────> ended
 */
export type State = 'connecting' | 'open' | 'reconnecting' | 'ended';
/** Side effects, to be executed in order. */
export type Output = 
/** Make a transport and write these frames first. */
{
    readonly do: 'open';
    readonly tnum: number;
    readonly kind: Kind | 'upload';
    readonly frames: readonly string[];
} | {
    readonly do: 'write';
    readonly tnum: number;
    readonly frames: readonly string[];
}
/** Close it and tell the machine nothing more about it. */
 | {
    readonly do: 'close';
    readonly tnum: number;
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
} | {
    readonly do: 'transport';
    readonly kind: Kind | null;
} | {
    readonly do: 'end';
    readonly reason: string;
    readonly applicationLevel: boolean;
};
/** How a transport ended: by its normal way, or by an error. */
export type Ending = 'ended' | 'failed';
/** What the machine remembers of one transport. */
export interface Transport {
    readonly number: number;
    readonly kind: Kind | 'upload';
    readonly openedAt: number;
    /** The server is known to have attached it. */
    heard: boolean;
    /** The server said that it ends: no more is written to it. */
    closing: boolean;
    /** New strings came or own ones were acknowledged on it. */
    progress: boolean;
    /** Lost when nothing comes until then. */
    deadline: number;
    /** Whether own strings went out on it. */
    carried: boolean;
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
