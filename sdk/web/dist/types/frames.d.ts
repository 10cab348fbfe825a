import { type Sack } from './sack.js';
/** Longest frame in bytes, type byte included. */
export declare const MAX_FRAME: number;
/** Longest message in bytes: a frame without the type byte. */
export declare const MAX_MESSAGE: number;
/** Longest reset reason in bytes. */
export declare const MAX_REASON = 255;
/**
 * Frame to be written, before the framing: text with the type at the end in both versions of the protocol, or a binary
 * message of version 3.
 */
export type OutFrame = string | Uint8Array;
declare const KILL_REASONS: readonly ['stream_attach_failure', 'acked_unsent_strings', 'frame_corruption', 'invalid_frame_type_or_arguments', 'rwin_overflow'];
/** Reason for which the server closed a transport; the stream itself continues. */
export type KillReason = (typeof KILL_REASONS)[number];
export type Frame = {
    readonly type: 'hello';
    readonly json: string;
} | {
    readonly type: 'string';
    readonly text: string;
} | {
    readonly type: 'seqnum';
    readonly number: number;
} | {
    readonly type: 'sack';
    readonly sack: Sack;
} | {
    readonly type: 'status';
    readonly sack: Sack;
} | {
    readonly type: 'created';
} | {
    readonly type: 'you_close_it';
} | {
    readonly type: 'comment';
    readonly text: string;
} | {
    readonly type: 'reset';
    readonly reason: string;
    readonly applicationLevel: boolean;
} | {
    readonly type: 'kill';
    readonly reason: KillReason;
};
/** Returns whether a message contains only the bytes 0x20-0x7E, the ones that version 2 of the protocol carries. */
export declare function isMessageAllowed(text: string): boolean;
/** Returns the frame of a message. */
export declare function encodeMessage(message: OutFrame): OutFrame;
/** Decodes a frame of either direction; null for an unknown type or invalid arguments. */
export declare function decodeFrame(raw: string): Frame | null;
/** Encodes a frame; the inverse of `decodeFrame`. */
export declare function encodeFrame(frame: Frame): string;
export {};
