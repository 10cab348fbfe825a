import { StreamMachine } from './stream.js';
import type { Output, StreamOptions } from './stream/types.js';
/** What concerns the application. */
export type News = Exclude<Output, {
    readonly do: 'open' | 'write' | 'close';
}>;
export declare class Driver {
    #private;
    readonly onNews: (news: News) => void;
    readonly onRest: () => void;
    readonly machine: StreamMachine;
    /** `onNews` is called for each thing in order, `onRest` when all is done for now. */
    constructor(base: URL, options: StreamOptions, onNews: (news: News) => void, onRest: () => void);
    /** Runs the machine once for all calls of this turn: their strings go out together. */
    soon(): void;
    /** Executes what the machine asks for until it asks for nothing, then sets the timer. */
    run(): void;
}
/** ms; does not go back, from any origin. */
export declare function now(): number;
