import { Lifetimes } from './lifetimes.js';
import { RetryTimer } from './retry_timer.js';
import { TransportRanking } from './transport_ranking.js';
import type { Transports } from './transports.js';
import { type Kind, type Transport, type TransportOutcome } from './types.js';
/** Time in ms that a replaced, closing or reset transport may take to end. */
export declare const LINGER_TIME = 5000;
/** Time in ms after which another kind is tried in parallel with a WebSocket that is still opening. */
export declare const ATTEMPT_DELAY = 500;
/** Time in ms after which a lesser kind is tried in parallel; servers send the first heartbeat at once. */
export declare const RESPONSE_TIMEOUT = 1500;
export declare class TransportPolicy {
    #private;
    readonly transports: Transports;
    /** Heartbeat interval of the server in ms, as configured. */
    readonly heartbeatMs: number;
    readonly ranking: TransportRanking;
    /** Time of the next attempt after failures. */
    readonly retry: RetryTimer;
    readonly lifetimes: Lifetimes;
    /** The last long-poll ended in order and the next one is due; the stream counts as open meanwhile. */
    polling: boolean;
    constructor(transports: Transports, random: () => number, wanted: Kind | 'auto', known?: Kind, 
    /** Heartbeat interval of the server in ms, as configured. */
    heartbeatMs?: number);
    /** Returns the kind to open now, in addition to the present transports; null for none. */
    nextKind(now: number): Kind | null;
    /**
     * Returns whether an open WebSocket must be proven in both directions before it carries messages: over HTTP the
     * stream works already.
     */
    mustProve(candidate: Transport): boolean;
    /** Returns whether the primary may be replaced now. */
    mayRetire(now: number): boolean;
    /** Returns the reason for opening the next transport, as one word for the hello. */
    reasonFor(kind: Kind): string;
    /** Marks the primary for replacement if silent, unacknowledged or close to its expected cut. */
    checkHealth(now: number): void;
    /** Marks the primary as possibly dead; opening a successor shows whether the network works. */
    suspect(why: string): void;
    /** Returns the times at which `nextKind`, `mayRetire` or `checkHealth` may change their result. */
    deadlines(): number[];
    /** Time in seconds for which the server may hold a long-poll. */
    get maxPollTime(): number;
    /** Records received frames. */
    onFrames(transport: Transport, now: number): void;
    /** Records that the server or the network closed a transport. */
    onRemoteClose(transport: Transport, outcome: TransportOutcome, now: number): void;
    /** Records the end of the primary, unless its predecessor takes over. */
    onPrimaryClosed(transport: Transport, outcome: TransportOutcome, now: number): void;
    /** Records a failed attempt or a lost transport. */
    onFailed(transport: Transport, outcome: TransportOutcome, now: number): void;
    /** Allows attempts at once; `networkChanged` discards the experience of the former network. */
    retryNow(networkChanged: boolean, now: number): void;
    /** Heartbeat interval in ms for the next transport. */
    get heartbeat(): number;
}
