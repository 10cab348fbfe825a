export declare class RetryTimer {
    #private;
    readonly random: () => number;
    /** Not before this time. */
    nextAttemptAt: number;
    constructor(random: () => number);
    /** It works: the next failure is a first one. */
    onSuccess(): void;
    onFailure(now: number): void;
    /** The server asked for a pause of `ms`; others were asked, too. */
    onRetryAfter(now: number, ms: number): void;
    /** Allows the next attempt at once. */
    retryNow(now: number): void;
}
