/**
 * How long transports live where something on the way cuts them after a fixed time: learnt from two that
 * died at the same age. So the next one is succeeded before that. Used by the stream machine.
 */
import type { Kind } from './types.js';
export declare class Lifetimes {
    #private;
    /** One that worked was broken off at this age in ms. */
    onCut(kind: Kind, age: number): void;
    /** ms after which one of this kind should be succeeded. */
    maxAge(kind: Kind): number;
    /** The network is another one. */
    clear(): void;
}
