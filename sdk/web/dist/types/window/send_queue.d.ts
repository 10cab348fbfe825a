/**
 * Numbered strings kept until the other side has them. Knows no transports: what was written
 * where is the stream machine's business.
 */
import type { Sack } from '../sack.js';
export declare class SendQueue {
    #private;
    constructor(next?: number);
    /** Adds a string and returns its number. */
    push(text: string): number;
    /** Frees what `sack` names, calling `freed` for each. False, and no change: it names strings never queued. */
    apply(sack: Sack, freed: (number: number, bytes: number) => void): boolean;
    /** The strings from `first` on that are not acknowledged, with their numbers. */
    iterFrom(first: number): Generator<[number, string]>;
    /** What the other side is known to have. */
    sack(): Sack;
    /** The number the next string gets. */
    get next(): number;
    /** The first number not acknowledged. */
    get base(): number;
    /** How many numbers there are from the base on; 0: all is acknowledged. */
    get length(): number;
    /** How many bytes the kept strings have. */
    get bytes(): number;
}
