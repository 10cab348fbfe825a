/**
 * The numbered strings of both directions: own ones kept until they are acknowledged, received ones put in
 * order, and what each side was told of the other's. Knows which transport a frame came on, not which
 * transports there are. Used by the stream machine.
 */
import { type Sack } from '../sack.js';
import { Receiver } from './receiver.js';
import type { Output, Transport } from './types.js';
/** What a frame was: it brought something new, nothing new, or what cannot be. */
export type FrameResult = 'progress' | 'duplicate' | 'violation';
export declare class ReliableChannel {
    #private;
    readonly counts: {
        sent: number;
        acknowledged: number;
        received: number;
    };
    /** A StreamCreated frame was seen. */
    created: boolean;
    readonly receiver: Receiver;
    /** Queues a string (already checked) and returns its number. */
    send(text: string): number;
    /** `stays`: the transport is not being succeeded. */
    recvMessage(transport: Transport, text: string, stays: boolean, now: number): FrameResult;
    /** Frees what is acknowledged, telling `outputs`. Wrong: it names strings that were never sent. */
    recvSack(sack: Sack, outputs: Output[], now: number): FrameResult;
    /** One side acknowledged what the other never sent. True: it is hopeless. */
    onSackMismatch(): boolean;
    /** Hands the strings that are in order to the application. */
    deliver(outputs: Output[]): void;
    /** Frames of own strings that may be written to `carrier` now. */
    takeFrames(carrier: Transport, now: number): string[];
    /** When a SACK for what was written to `carrier` should have come; Infinity: none is awaited. */
    sackDueAt(carrier: Transport): number;
    /** Frames of the first own strings that are not acknowledged, of at most `room` bytes in all. */
    finalFrames(room: number): string[];
    /** SACK text: what the server is known to have. */
    get seenAck(): string;
    /** There are own strings that are not acknowledged. */
    get hasUnacked(): boolean;
    /** Bytes of own strings that are not acknowledged. */
    get unackedBytes(): number;
}
