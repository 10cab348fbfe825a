/**
 * Receiving half of the reliable channel: reorders messages of the server, and tracks the SACKs sent for them. Used by
 * the reliable channel and the stream machine.
 */
import type { Message } from '../message.js';
import { type Received } from '../window/receive_window.js';
import { DelayedAck } from './delayed_ack.js';
import type { Transport } from './types.js';
export declare class Receiver {
    #private;
    /** Decides when the next SACK is due. */
    readonly delayedAck: DelayedAck;
    /** Begins with message `first`, before any message was received. */
    skipTo(first: number): void;
    /**
     * Accepts the next message of a transport. The SACK may be delayed by `maxDelay` ms, unless a message is missing.
     * `conflict`: the message was received with another claim tag.
     */
    receive({ nextIn, tag }: Transport, message: Message, maxDelay: number, now: number): Received | 'conflict';
    /** Returns the next message for the application. */
    pop(): Message | undefined;
    /** Pauses or resumes delivery; returns false if nothing changes. */
    setPaused(paused: boolean): boolean;
    /** Time at which the SACK is due; Infinity for none, and while delivery is paused. */
    get ackDueAt(): number;
    /** Takes the claim tags for a SACK on this transport, as pairs `FIRST TAG`: in the hello, or if one was added. */
    takeTags(transport: Transport, inHello?: boolean): readonly string[];
    /** Returns the SACK text to send now and marks that text as sent. */
    takeSack(now?: number): string;
}
