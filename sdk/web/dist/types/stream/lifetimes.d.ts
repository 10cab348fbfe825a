/**
 * Learns when intermediaries cut transports of a kind. Two cuts after about the same silence lower the heartbeat
 * interval; two cuts at about the same age set a limit, before which the next transport is replaced. Used by the
 * transport policy.
 */
import type { Kind } from './types.js';
export declare class Lifetimes {
    #private;
    /** Longest heartbeat interval that prevents cuts, in ms and a multiple of 1 s; Infinity without a limit. */
    maxHeartbeat: number;
    /** Records that an attached transport was cut at this age in ms, after `silence` ms without frames of the server. */
    onCut(kind: Kind, age: number, silence: number): void;
    /** Returns the age in ms at which a transport of this kind should be replaced; Infinity without a limit. */
    maxAge(kind: Kind): number;
    /** Forgets all limits, after a change of the network. */
    clear(): void;
}
