/**
 * Ranks transport kinds: selects the best kind that is not known to fail in this network. A kind is known to fail if a
 * lesser kind works at the same time; if no kind works, none is blamed. Failed kinds are probed at growing intervals.
 * Independent of transports. Used by the transport policy.
 */
import { type Kind } from './types.js';
/** Age in ms of a page that begins with a lesser kind, as remembered, at which better kinds are probed. */
export declare const FIRST_PROBE_TIME = 10000;
/** Bounds in ms of the interval between probes of a failed kind; the interval triples with each failure. */
export declare const MIN_PROBE_INTERVAL = 20000;
export declare const MAX_PROBE_INTERVAL = 600000;
export declare class TransportRanking {
    #private;
    readonly random: () => number;
    /** Kind to use exclusively; null for all. */
    pinned: Kind | null;
    /** `known` is the best kind of the previous session; better kinds are probed later. */
    constructor(wanted: Kind | 'auto', random: () => number, known?: Kind | null);
    /** Returns the best kind to use now. */
    best(now: number): Kind;
    /** Returns the best kind below `kind`, to be tried in parallel; null for none. */
    fallback(kind: Kind, now: number): Kind | null;
    /** Returns whether a kind has failed while a lesser one worked, and not worked since. */
    isFailing(kind: Kind): boolean;
    /** Returns the earliest time at which a kind better than `kind` may be probed. */
    nextProbeAt(kind: Kind): number;
    /**
     * Records a failed attempt or an early failure; `lesserWorks` means that a lesser kind works at the same time.
     * Returns true if another kind may be tried at once.
     */
    onFailed(kind: Kind, now: number, lesserWorks: boolean): boolean;
    /** Records that `kind` works while transports of the `silent` kinds did not respond. */
    onWorking(kind: Kind, silent: readonly Kind[], now: number): void;
    /** Records the end of a working transport after `age` ms. */
    onClosed(kind: Kind, age: number): void;
    /** Allows all kinds at once; `networkChanged` also discards the experience of the former network. */
    retryNow(networkChanged: boolean): void;
}
