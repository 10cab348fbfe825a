import { TransportRanking } from './transport_ranking.js';
import { Lifetimes } from './lifetimes.js';
import { RetryTimer } from './retry_timer.js';
import type { Transports } from './transports.js';
import { type TransportOutcome, type Kind, type Transport } from './types.js';
/** ms a transport may still take to end once it was succeeded, said that it ends, or was reset. */
export declare const LINGER_TIME = 5000;
/** ms that a WebSocket may take to open before another kind is tried beside it. */
export declare const ATTEMPT_DELAY = 500;
/** ms from a hello to its answer before a lesser kind is tried beside it: the first beat comes at once. */
export declare const RESPONSE_TIMEOUT = 1500;
export declare class TransportPolicy {
    #private;
    readonly transports: Transports;
    /** ms of silence after which the server sends a heartbeat. */
    readonly heartbeatMs: number;
    readonly ranking: TransportRanking;
    readonly retry: RetryTimer;
    readonly lifetimes: Lifetimes;
    /** The last long-poll ended in order: the next one needs no proof that it works. */
    polling: boolean;
    constructor(transports: Transports, random: () => number, wanted: Kind | 'auto', known?: Kind, 
    /** ms of silence after which the server sends a heartbeat. */
    heartbeatMs?: number);
    /** The kind to open now, beside what there is; null: none. */
    nextKind(now: number): Kind | null;
    /** Whether the primary transport may be succeeded now. */
    mayRetire(now: number): boolean;
    /** Why the next transport is opened, in one word. */
    reasonFor(kind: Kind): string;
    /** Marks the primary transport if it should be succeeded. */
    checkHealth(now: number): void;
    /** The primary transport may be dead: find out by its successor. */
    suspect(why: string): void;
    /** When a SACK for what the transport carries should have come; set by the stream machine. */
    sackDueAt: (transport: Transport) => number;
    /** When `next`, `mayRetire` or `watch` may have another answer. */
    deadlines(): number[];
    /** Seconds that a long-poll may be held. */
    get maxPollTime(): number;
    /** Frames came on a transport; `over`: and it ended with them. */
    onFrames(transport: Transport, over: boolean, now: number): void;
    /** The network or the server ended a transport: not this side. */
    onRemoteClose({ kind, attached, closing, openedAt }: Transport, outcome: TransportOutcome, now: number): void;
    /** The primary transport is over, and its predecessor does not take its place. */
    onPrimaryClosed(transport: Transport, outcome: TransportOutcome, now: number): void;
    /** An attempt failed, or a transport was lost. */
    onFailed(transport: Transport, outcome: TransportOutcome, now: number): void;
    /** Tries again now. `anew`: in another network. */
    retryNow(networkChanged: boolean, now: number): void;
}
