/**
 * Claim tags of the received messages of a stream of version 3: which claim of the partition gave a message its number. A
 * number with two tags reveals that the store lost acknowledged writes. Pure. Used by the receiver.
 */
/** Most pairs of a report, and most runs that are kept. */
export declare const MAX_PAIRS = 16;
export declare class ReceivedTags {
    #private;
    /** Records the tag of a message; returns false if the message was received with another one. */
    add(number: number, tag: string): boolean;
    /** Pairs `FIRST TAG` in ascending order, from the pair that covers `acked` on. */
    pairs(acked: number): string[];
}
