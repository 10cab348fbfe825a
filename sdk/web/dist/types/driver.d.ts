import { StreamMachine } from './stream.js';
import type { Output, StreamOptions } from './stream/types.js';
/** What concerns the application. */
export type AppOutput = Exclude<Output, {
    readonly do: 'open' | 'write' | 'close';
}>;
export declare class Driver {
    #private;
    readonly onOutput: (output: AppOutput) => void;
    readonly onIdle: () => void;
    readonly machine: StreamMachine;
    /** `onOutput` is called for each thing in order, `onIdle` when all is done for now. */
    constructor(base: URL, options: StreamOptions, onOutput: (output: AppOutput) => void, onIdle: () => void);
    /** Runs the machine once for all calls of this turn: their strings go out together. */
    schedule(): void;
    /** Executes what the machine asks for until it asks for nothing, then sets the timer. */
    run(): void;
}
/** ms; does not go back, from any origin. */
export declare function now(): number;
