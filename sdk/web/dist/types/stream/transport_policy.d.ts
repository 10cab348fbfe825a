import { TransportRanking } from './transport_ranking.js';
import { Lifetimes } from './lifetimes.js';
import { RetryTimer } from './retry_timer.js';
import type { Transports } from './transports.js';
import { type TransportOutcome, type Kind, type Transport } from './types.js';
/** ms a transport may still take to end once it was succeeded, said that it ends, or was reset. */
export declare const LINGER = 5000;
/** ms that a WebSocket may take to open before another kind is tried beside it. */
export declare const RACE = 500;
/** ms from a hello to its answer before a lesser kind is tried beside it: the first beat comes at once. */
export declare const ANSWER = 1500;
export declare class TransportPolicy {
    #private;
    readonly transports: Transports;
    /** ms of silence after which the server sends a heartbeat. */
    readonly beat: number;
    readonly choice: TransportRanking;
    readonly retry: RetryTimer;
    readonly lifetimes: Lifetimes;
    /** The last long-poll ended in order: the next one needs no proof that it works. */
    polling: boolean;
    constructor(transports: Transports, random: () => number, wanted: Kind | 'auto', known?: Kind, 
    /** ms of silence after which the server sends a heartbeat. */
    beat?: number);
    /** The kind to open now, beside what there is; null: none. */
    next(now: number): Kind | null;
    /** Whether the primary transport may be succeeded now. */
    mayRetire(now: number): boolean;
    /** Why the next transport is opened, in one word. */
    why(kind: Kind): string;
    /** Marks the primary transport if it should be succeeded. */
    watch(now: number): void;
    /** The primary transport may be dead: find out by its successor. */
    suspect(why: string): void;
    /** When a SACK for what the transport carries should have come; set by the stream machine. */
    due: (transport: Transport) => number;
    /** When `next`, `mayRetire` or `watch` may have another answer. */
    times(): number[];
    /** Seconds that a long-poll may be held. */
    get maxPoll(): number;
    /** Frames came on a transport; `over`: and it ended with them. */
    onHeard(transport: Transport, over: boolean, now: number): void;
    /** The network or the server ended a transport: not this side. */
    onClosed({ kind, heard, closing, openedAt }: Transport, ending: TransportOutcome, now: number): void;
    /** The primary transport is over, and its predecessor does not take its place. */
    onPrimaryGone(transport: Transport, ending: TransportOutcome, now: number): void;
    /** An attempt failed, or a transport was lost. */
    onFailed(transport: Transport, ending: TransportOutcome, now: number): void;
    /** Tries again now. `anew`: in another network. */
    hurry(anew: boolean, now: number): void;
}
