/**
 * Strings put in order. Knows no transports and no application: strings go in with their numbers,
 * and come out in order, each once.
 */
import type { Sack } from '../sack.js';
/** How much may wait behind a gap. */
export interface WindowLimits {
    readonly messages: number;
    /** Each string counts with its length and OVERHEAD. */
    readonly bytes: number;
}
/** What a short string costs beside its bytes. */
export declare const OVERHEAD = 30;
export type Received = 'duplicate' | 'waiting' | 'deliverable' | 'overflow';
export declare class ReceiveWindow {
    #private;
    readonly limits: WindowLimits;
    constructor(limits: WindowLimits, next?: number);
    /** Takes a string. The one that is next is always taken; 'overflow' changes nothing. */
    receive(number: number, text: string): Received;
    /** The next string in order. */
    pop(): string | undefined;
    /** Something is missing before what was received. */
    get hasGap(): boolean;
    /** All that was received, popped or not. */
    sack(): Sack;
}
