/**
 * Learns after which age intermediaries cut transports of a kind: two cuts at about the same age set a limit, and the
 * next transport is replaced before that age. Used by the transport policy.
 */
import type { Kind } from './types.js';
export declare class Lifetimes {
    #private;
    /** Records that an attached transport was cut at this age in ms. */
    onCut(kind: Kind, age: number): void;
    /** Returns the age in ms at which a transport of this kind should be replaced; Infinity without a limit. */
    maxAge(kind: Kind): number;
    /** Forgets all limits, after a change of the network. */
    clear(): void;
}
