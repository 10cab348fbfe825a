import type { Counters, TransportOutcome, Kind, Output, State, StreamOptions } from './stream/types.js';
export declare class StreamMachine {
    #private;
    readonly options: StreamOptions;
    /** The page is away: no transport is opened. */
    away: boolean;
    constructor(options: StreamOptions);
    /** Queues a string (already checked) and returns its number. */
    send(text: string): number;
    /** Uses this kind only, or the best that works; the present one goes on until the new one works. */
    switchTo(kind: Kind | 'auto', now: number): void;
    /** Tries again now, better kinds too. `anew`: the network is another one. */
    retryNow(networkChanged: boolean, now: number): void;
    /** The transports may be dead, and their silence proves nothing: time stood still, or (`anew`) the network changed. */
    wake(why: string, networkChanged: boolean, now: number): void;
    /**
     * The page goes away: drops all transports until `wake`. Returns the frames of an upload with what the
     * server may not have, at most `room` bytes; null: it has all.
     */
    leave(room: number): string[] | null;
    /** Drops all transports as a broken network would. */
    cut(now: number): void;
    /** Holds strings and SACKs back while the application is behind: so the server stops. True: a change. */
    setPaused(paused: boolean): boolean;
    /** Gives the stream up and tells the server if it can be reached now. */
    reset(reason: string, now: number): void;
    /** A WebSocket is open. */
    onOpened(key: number, now: number): void;
    /** Frames that came on a transport, together. */
    recvFrames(key: number, frames: readonly string[], now: number): void;
    /** A transport is over. `wait`: ms that the server asks for, if it is unavailable. */
    onClosed(key: number, outcome: TransportOutcome, now: number, wait?: number): void;
    /** Does what is due at `now` and returns what to do, in order. Call it after every input. */
    drain(now: number): Output[];
    /** When `drain` must be called at the latest; null: only after an input. */
    pollTimeout(): number | null;
    /** Any kind may be used. */
    get isAuto(): boolean;
    get state(): State;
    /** The kind that carries the stream now; null: none. */
    get transport(): Kind | null;
    get counters(): Counters;
    /** Bytes of own strings that are not acknowledged. */
    get unackedBytes(): number;
}
