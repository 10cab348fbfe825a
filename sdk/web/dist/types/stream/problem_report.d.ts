/**
 * The present reason for which a stream is not open, as reported to the application: the last cause of failed attempts. While
 * the stream is open, the reason for which a better kind of transport does not carry the stream. Causes without a response are reported only if they last, since most losses of a connection are repaired at once.
 * Pure. Used by the stream machine.
 */
import { type Refusal } from './refusal.js';
import type { TransportRanking } from './transport_ranking.js';
import type { Kind, Output, Problem } from './types.js';
/** Time in ms for which a cause without a response of a server must last before the report. */
export declare const REPORT_DELAY = 2000;
/** Time in ms for which a cause with a response counts more than one without. */
export declare const CERTAIN_TIME = 10000;
export declare class ProblemReport {
    #private;
    /** The reported problem; null if no cause is certain. */
    current: Problem | null;
    /** Records the cause of a failed attempt. */
    onFailed(cause: Refusal, now: number): void;
    /** Replaces the cause by the result of a diagnosis, which remains until the stream is open or a response arrives. */
    onDiagnosed(cause: Refusal): void;
    /**
     * Derives the problem and returns the change. `nextAttemptAt` is the time of the next attempt, `kind` carries the open
     * stream.
     */
    update(isOpen: boolean, nextAttemptAt: number, now: number, kind?: Kind | null, ranking?: TransportRanking): Output[];
    /** Time at which `update` reports the cause; Infinity without one. */
    get dueAt(): number;
}
