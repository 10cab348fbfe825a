/**
 * Closed and dropped transports: assigns the roles of the remaining ones, and reports the outcome to the transport policy
 * and the uploads. Used by the stream machine.
 */
import type { Opener, OpenerContext } from './opener.js';
import { type Refusal } from './refusal.js';
import type { Transport, TransportOutcome } from './types.js';
export declare class Closing {
    #private;
    readonly context: OpenerContext;
    readonly opener: Opener;
    readonly onRefused: (transport: Transport, refusal: Refusal, now: number) => void;
    constructor(context: OpenerContext, opener: Opener, onRefused: (transport: Transport, refusal: Refusal, now: number) => void);
    /** Drops a transport whose deadline has passed. */
    onDeadline(transport: Transport, now: number): void;
    /** Closes a transport and handles its end. */
    drop(transport: Transport, now: number, outcome?: TransportOutcome): void;
    /** Handles the end of a transport. */
    onClosed(transport: Transport, outcome: TransportOutcome, now: number): void;
}
