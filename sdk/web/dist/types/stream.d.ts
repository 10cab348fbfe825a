import type { Counters, Ending, Kind, Output, State } from './stream/types.js';
/** ms from opening a transport to its first frame. */
export declare const PATIENCE = 15000;
export interface StreamOptions {
    readonly id: string;
    readonly kind: Kind;
    readonly cred?: string;
    /** Uniform in [0, 1). */
    readonly random: () => number;
}
export declare class StreamMachine {
    #private;
    readonly options: StreamOptions;
    constructor(options: StreamOptions);
    /** Queues a string (already checked) and returns its number. */
    send(text: string): number;
    /** Wants another kind of transport; the present one goes on until the new one works. */
    switchTo(kind: Kind, now: number): void;
    /** Tries again now: the network changed. */
    hurry(now: number): void;
    /** Drops all transports as a broken network would. */
    cut(now: number): void;
    /** Holds strings and SACKs back while the application is behind: so the server stops. True: a change. */
    hold(held: boolean): boolean;
    /** Gives the stream up and tells the server if it can be reached now. */
    reset(reason: string, now: number): void;
    /** Frames that came on a transport, together. */
    recvFrames(tnum: number, frames: readonly string[], now: number): void;
    /** A transport is over. */
    onClosed(tnum: number, ending: Ending, now: number): void;
    /** Does what is due at `now` and returns what to do, in order. Call it after every input. */
    drain(now: number): Output[];
    /** When `drain` must be called at the latest; null: only after an input. */
    pollTimeout(): number | null;
    get state(): State;
    /** The kind that carries the stream now; null: none. */
    get transport(): Kind | null;
    get counters(): Counters;
    /** Bytes of own strings that are not acknowledged. */
    get bufferedAmount(): number;
}
