/**
 * Codec of wire version 3: binary frames of a type, a length and a body. Independent of transports and of the effect of
 * frames on a stream. Used by the transports.
 *
 * Numbers, SACKs and resets have the text forms of version 2 (`frames.ts`).
 */
import { type Frame, type OutFrame } from './frames.js';
/** Longest body in bytes, and longest message. */
export declare const MAX_BODY: number;
/** Reaction of a client to a refusal; an unknown one is read as `halt`. */
export type ClientAction = 'retry' | 'end' | 'halt' | 'fallback';
/** Known refusal codes: HTTP status, action, and whether the second refusal in a row ends the stream. */
export declare const REFUSALS: {
    readonly version: readonly [426, "fallback", false];
    readonly hello: readonly [400, "end", false];
    readonly origin: readonly [403, "halt", false];
    readonly service: readonly [404, "halt", false];
    readonly unserved: readonly [503, "retry", false];
    readonly busy: readonly [429, "retry", false];
    readonly frame: readonly [400, "retry", true];
    readonly message: readonly [400, "end", false];
    readonly too_large: readonly [413, "end", false];
    readonly window: readonly [409, "retry", true];
    readonly acked_unsent: readonly [409, "retry", true];
    readonly superseded: readonly [409, "end", false];
    readonly gone: readonly [410, "end", false];
    readonly draining: readonly [503, "retry", false];
    readonly unavailable: readonly [503, "retry", false];
};
/** Code of a refusal that this build knows. */
export type RefusalCode = keyof typeof REFUSALS;
/** First answer of the server on a transport. Absent members are known from an earlier transport. */
export interface Welcome {
    readonly type: 'welcome';
    /** Number of the stream and claim tag of its creation. */
    readonly born?: string | undefined;
    /** Longest message in bytes. */
    readonly max?: number | undefined;
    /** The server inflates compressed runs. */
    readonly z?: true | undefined;
    /** First message that will be written to a new generation. */
    readonly from?: number | undefined;
    /** First number that the client may assign. */
    readonly own?: number | undefined;
}
/** Reason for which the server ends a transport. */
export interface Refusal {
    readonly type: 'refusal';
    readonly status: number;
    readonly code: string;
    readonly title: string;
    readonly do: ClientAction;
    /** Shortest pause before the next transport, in milliseconds. */
    readonly after?: number | undefined;
}
/** Frame of either direction. A binary body is a copy of the received bytes. */
export type Frame3 = Welcome | Refusal | {
    readonly type: 'text';
    readonly text: string;
} | {
    readonly type: 'binary';
    readonly data: Uint8Array;
} | Extract<Frame, {
    type: 'seqnum' | 'sack' | 'status' | 'you_close_it' | 'reset';
}> | {
    readonly type: 'comment';
    readonly data: Uint8Array;
} | {
    readonly type: 'claim_tag';
    readonly first: number;
    readonly tag: string;
} | {
    readonly type: 'compressed';
    readonly data: Uint8Array;
} | {
    readonly type: 'renewal';
    readonly by?: number;
    readonly cred?: string;
} | {
    readonly type: 'extension';
    readonly byte: number;
};
/** Type byte and unchecked body, a part of the received bytes. */
export interface RawFrame {
    readonly kind: string;
    readonly body: Uint8Array;
}
/** Position of the first lone surrogate, which UTF-8 cannot express; -1 without one. */
export declare function loneSurrogateAt(text: string): number;
/** Incremental splitter: accepts bytes in arbitrary pieces and returns complete frames. */
export declare class FrameSplitter {
    #private;
    readonly maxMessage: number;
    /** Code after an invalid frame. Frames returned before remain valid; later input is ignored. */
    refused: RefusalCode | null;
    constructor(maxMessage?: number);
    /** True if no frame is unfinished. */
    get isEmpty(): boolean;
    /** Appends a piece and returns the completed frames. Check `refused` afterwards. */
    push(piece: Uint8Array): RawFrame[];
}
/** Decodes a frame of either direction; a code if the body is invalid. */
export declare function decodeFrame3({ kind, body }: RawFrame): Frame3 | RefusalCode;
/** Reads an action; an unknown one is `halt`. */
export declare function actionOf(name: unknown): ClientAction;
/** Encodes frames for one write. */
export declare function encodeFrames(frames: readonly Frame3[]): Uint8Array;
/** Encodes written frames, each as the parts of its own. The hello keeps the framing of version 2. */
export declare function encodeOut(frame: OutFrame): Uint8Array;
/** Joins chunks by one copy. */
export declare function concat(chunks: readonly Uint8Array[]): Uint8Array;
