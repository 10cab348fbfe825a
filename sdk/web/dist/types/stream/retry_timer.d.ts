export declare class RetryTimer {
    #private;
    readonly random: () => number;
    /** Earliest time of the next attempt. */
    nextAttemptAt: number;
    constructor(random: () => number);
    /** Resets the back-off. */
    onSuccess(): void;
    /** Postpones the next attempt by the back-off. */
    onFailure(now: number): void;
    /** Postpones the next attempt by `ms`, as requested by the server, plus up to a quarter to spread clients. */
    onRetryAfter(now: number, ms: number): void;
    /** Allows the next attempt at once and resets the back-off. */
    retryNow(now: number): void;
}
