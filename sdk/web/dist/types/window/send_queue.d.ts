/**
 * Send queue: numbers messages and keeps them until acknowledged. Independent of transports, which `InFlight` tracks.
 * Used by the reliable channel; mirrors `minerva_proto`.
 */
import { type Message } from '../message.js';
import type { Sack } from '../sack.js';
export declare class SendQueue {
    #private;
    next: number;
    /** Lowest unacknowledged number. */
    base: number;
    /** Bytes of unacknowledged messages. */
    bytes: number;
    /** `next` is the number of the next message. */
    constructor(next?: number);
    /** Inserts an unacknowledged message of an earlier generation; the numbers of lost ones count as acknowledged. */
    restore(number: number, message: Message): void;
    /** Continues with number `next`, unless the next number is larger. */
    skipTo(next: number): void;
    /** Appends a message and returns its number. */
    push(message: Message): number;
    /**
     * Frees the messages acknowledged by `sack` and calls `freed` for each. Returns false and changes nothing if `sack`
     * contains a message never queued.
     */
    apply({ acked, beyond }: Sack, freed: (number: number, bytes: number) => void): boolean;
    /** Yields the unacknowledged messages from number `first` on, with their numbers. */
    iterFrom(first: number): Generator<[number, Message]>;
    /** Returns the numbers of all acknowledged messages. */
    sack(): Sack;
    /** Count of numbers from `base` to `next`; 0 if all are acknowledged. */
    get length(): number;
}
