/**
 * Receive window: accepts numbered messages in any order and returns each once, in order. Independent of transports and
 * of the application. Used by the receiver; mirrors `minerva_proto`.
 */
import type { Message } from '../message.js';
import type { Sack } from '../sack.js';
/** Bounds of the messages that wait behind a gap. */
export interface WindowLimits {
    readonly messages: number;
    /** Bound of the sum of message lengths in characters or bytes, plus OVERHEAD for each. */
    readonly bytes: number;
}
/** Memory in bytes that a waiting message costs in addition to its content. */
export declare const OVERHEAD = 30;
/** Result of `ReceiveWindow.receive`. */
export type Received = 'duplicate' | 'waiting' | 'deliverable' | 'overflow';
export declare class ReceiveWindow {
    #private;
    readonly limits: WindowLimits;
    constructor(limits: WindowLimits, next?: number);
    /** Continues with number `next`; no message was received. */
    skipTo(next: number): void;
    /** Accepts a message. The next one in order is always accepted; 'overflow' changes nothing. */
    receive(number: number, message: Message): Received;
    /** Removes and returns the next in-order message. */
    pop(): Message | undefined;
    /** True if a message is missing before a received one. */
    get hasGap(): boolean;
    /** Returns the numbers of all received messages, popped or not. */
    sack(): Sack;
}
