import type { Endpoints } from './endpoints.js';
import { StreamMachine } from './stream.js';
import type { Output, StreamOptions } from './stream/types.js';
/** Outputs of the machine that the application receives. */
export type AppOutput = Exclude<Output, {
    readonly do: 'open' | 'write' | 'close' | 'fallback' | 'token';
}>;
export declare class Driver {
    #private;
    readonly endpoints: Endpoints;
    readonly onOutput: (output: AppOutput) => void;
    readonly onIdle: () => void;
    readonly machine: StreamMachine;
    /**
     * Calls `onOutput` for each output in order, and `onIdle` after each run of the machine. Without a URL nothing is
     * opened.
     */
    constructor(endpoints: Endpoints, options: StreamOptions, onOutput: (output: AppOutput) => void, onIdle: () => void);
    /** Opens the first transport. */
    start(): void;
    /** Schedules one run at the end of this turn, so that messages sent in one turn share a write. */
    schedule(): void;
    /** Executes outputs until the machine has none left, then sets the timer. */
    run(): void;
}
/** Returns the monotonic time in ms, from an arbitrary origin. */
export declare function now(): number;
