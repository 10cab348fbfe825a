/**
 * Reliable message channel over changing transports: keeps sent messages until they are acknowledged, and reorders
 * received ones. Opens and selects no transports. Used by the stream machine.
 */
import { type OutFrame } from '../frames.js';
import { type Message } from '../message.js';
import { type Sack } from '../sack.js';
import { Receiver } from './receiver.js';
import type { SessionStart } from './session_start.js';
import type { Output, Transport } from './types.js';
/**
 * Effect of a received frame: new messages or acknowledgements, a repetition, a protocol violation, or a message whose
 * number belonged to another one.
 */
export type FrameResult = 'progress' | 'duplicate' | 'violation' | 'conflict';
/**
 * Longest time in ms to wait for the confirmation of a reset. The server ends a stream without transports after the
 * same time by default.
 */
export declare const RESET_TIMEOUT = 120000;
export declare class ReliableChannel {
    #private;
    /** Message counts for `Counters`. */
    readonly counts: {
        sent: number;
        acknowledged: number;
        received: number;
    };
    /** The server has confirmed the creation of the stream: a StreamCreated frame, or a welcome of version 3. */
    created: boolean;
    /** Reset of the page that is not confirmed yet; null before. */
    resetting: {
        readonly reason: string;
        readonly applicationLevel: boolean;
    } | null;
    /** Reset of the page that waits for the acknowledgement of all messages; null without one. */
    closing: {
        readonly reason: string;
    } | null;
    /** Frame with new credentials that is not written yet. */
    renewal: readonly string[];
    readonly receiver: Receiver;
    /** Restores the unacknowledged messages of earlier generations; `own` is the first number above all of them. */
    restore(messages: SessionStart['restored'], own: number): void;
    /** Begins a generation: the first message of the server, and the first own number that was never given. */
    begin(from: number, own: number): void;
    /** Queues a valid message and returns its number. */
    send(message: Message): number;
    /** Accepts a message; `isPrimary` is false on a predecessor, whose messages are acknowledged at once. */
    recvMessage(transport: Transport, message: Message, isPrimary: boolean, now: number): FrameResult;
    /** Frees acknowledged messages and reports them in `outputs`; a SACK of unsent messages is a violation. */
    recvSack(sack: Sack, outputs: Output[], now: number): FrameResult;
    /** Records a SACK of unsent messages; returns true for the second in a row, which ends the stream. */
    onSackMismatch(): boolean;
    /** Delivers in-order messages to the application. */
    deliver(outputs: Output[]): void;
    /** Takes the frames that may be written to `carrier` now: messages, and behind them the reset. */
    takeFrames(carrier: Transport, now: number): OutFrame[];
    /** Takes the reset frame, once for each transport; none before a reset. */
    takeReset(transport: Transport): string[];
    /**
     * Returns frames of the first unacknowledged messages, at most `room` bytes in total, and the reset. A reset that waits
     * for acknowledgements is included if all messages are.
     */
    finalFrames(upload: Transport, room: number): OutFrame[];
    /** SACK text of the messages that the server has acknowledged. */
    get seenAck(): string;
    /** True if version 2 can carry all unacknowledged messages. */
    get isForVersion2(): boolean;
    /** True while sent messages are unacknowledged. */
    get hasUnacked(): boolean;
    /** Bytes of unacknowledged messages. */
    get unackedBytes(): number;
}
