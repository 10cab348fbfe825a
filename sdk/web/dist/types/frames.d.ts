import { type Sack } from './sack.js';
/** The longest frame, its type byte included. */
export declare const MAX_FRAME: number;
/** The longest string: a frame less its type byte. */
export declare const MAX_MESSAGE: number;
/** The longest reason of a reset. */
export declare const MAX_REASON = 255;
declare const KILL_REASONS: readonly ['stream_attach_failure', 'acked_unsent_strings', 'frame_corruption', 'invalid_frame_type_or_arguments', 'rwin_overflow'];
/** Why the server ended a transport (the stream goes on). */
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
/** Whether a string may be sent: bytes 0x20-0x7E only. */
export declare function isMessageAllowed(text: string): boolean;
/** Reads one frame of either direction; null: no such frame, or wrong arguments. */
export declare function decodeFrame(raw: string): Frame | null;
/** Writes one frame. */
export declare function encodeFrame(frame: Frame): string;
export {};
