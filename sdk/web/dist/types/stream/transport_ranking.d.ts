/**
 * Which kind of transport to try: the best one that is not known to fail here. A kind is known to fail
 * when a lesser one works while it does not: when nothing works, no kind is to blame. It is tried
 * again at growing intervals. Knows no transports. Used by the stream machine.
 */
import { type Kind } from './types.js';
/** ms after which a kind that failed is tried again, the first time and at the longest. */
export declare const MIN_PROBE_INTERVAL = 10000;
export declare const MAX_PROBE_INTERVAL = 600000;
export declare class TransportRanking {
    #private;
    readonly random: () => number;
    /** The only kind that is used; null: all. */
    pinned: Kind | null;
    /** `known`: the best kind that worked the last time. */
    constructor(wanted: Kind | 'auto', random: () => number, known?: Kind | null);
    best(now: number): Kind;
    /** The kind to try beside `kind` when that takes long; null: none. */
    fallback(kind: Kind, now: number): Kind | null;
    /** When a kind better than `kind` may be tried. */
    nextProbeAt(kind: Kind): number;
    /** One could not be established, or died young; `lesser` works meanwhile. True: another kind may be tried at once. */
    onFailed(kind: Kind, now: number, lesser: boolean): boolean;
    /** One works, those of `silent` did not answer in the meantime. */
    onWorking(kind: Kind, silent: readonly Kind[], now: number): void;
    /** One that worked is over after `age` ms. */
    onClosed(kind: Kind, age: number): void;
    /** What failed may be tried now; `anew`: the network is another one, experience counts no more. */
    retryNow(networkChanged: boolean): void;
}
