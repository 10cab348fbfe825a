export declare class Retry {
    #private;
    readonly random: () => number;
    /** Not before this time. */
    at: number;
    constructor(random: () => number);
    /** It works: the next failure is a first one. */
    onSuccess(): void;
    onFailure(now: number): void;
    /** Allows the next attempt at once. */
    hurry(now: number): void;
}
