/**
 * Stream machine: the state of one stream over changing transports. Routes frames and handles closed transports; the
 * policy selects kinds, the channel holds messages, the opener writes. Pure. The driver passes `now` (ms) and frames, and executes outputs in order.
 */
import { type OutFrame } from './frames.js';
import type { Frame3 } from './frames3.js';
import type { Message } from './message.js';
import { Credentials } from './stream/credentials.js';
import { type Refusal } from './stream/refusal.js';
import type { Counters, Kind, Output, Problem, State, Version } from './stream/types.js';
import type { StreamOptions, TransportOutcome } from './stream/types.js';
export declare class StreamMachine {
    #private;
    readonly options: StreamOptions;
    /** Present if the page can fetch credentials. */
    readonly credentials: Credentials | undefined;
    /** Number of URLs of the service: fewer refusals leave the ordinary back-off. */
    urls: number;
    /** Longest message in bytes. */
    maxMessage: number;
    /** The page is unloaded or in the back-forward cache; no transport is opened until `wake`. */
    away: boolean;
    constructor(options: StreamOptions);
    /** Queues a valid message and returns its number. */
    send(message: Message): number;
    /** Restricts the stream to one kind, or lifts the restriction; the old transport stays until the new one works. */
    switchTo(kind: Kind | 'auto', now: number): void;
    /** Allows attempts of all kinds at once; `networkChanged` discards the experience of the former network. */
    retryNow(networkChanged: boolean, now: number): void;
    /** Handles a sleep or a network change: transports may be dead, and their silence so far is no evidence. */
    wake(why: string, networkChanged: boolean, now: number): void;
    /**
     * Handles the unload of the page: closes all transports until `wake`. Returns the frames of a final upload with
     * unacknowledged messages, at most `room` bytes, and an unconfirmed reset; null if there are none.
     */
    leave(room: number): OutFrame[] | null;
    /** Drops all transports as a network failure would. */
    cut(now: number): void;
    /** Back-pressure: while paused, messages are not delivered and not acknowledged. Returns true on a change. */
    setPaused(paused: boolean): boolean;
    /** Resets the stream. The end follows the server's confirmation; without an accepted hello the end is immediate. */
    reset(reason: string, now: number, applicationLevel?: boolean): void;
    /** Resets the stream once all queued messages are acknowledged. */
    close(reason: string, now: number): void;
    /** Reports an open WebSocket with the version that the server selected, or that a shared connection may replace an HTTP stream. */
    onOpened(key: number, now: number, version?: Version): void;
    /** Processes frames received together on a transport. */
    recvFrames(key: number, frames: readonly (string | Frame3)[], now: number): void;
    /** Reports the end of a transport; `refusal` is the cause of a failure, if known. */
    onClosed(key: number, outcome: TransportOutcome, now: number, refusal?: Refusal): void;
    /** Reports the cause of failures whose transports could not read a response. */
    onDiagnosed(refusal: Refusal): void;
    /** Handles due deadlines and returns the outputs, in order. Called after every input. */
    drain(now: number): Output[];
    /** Returns the time by which `drain` must be called; null if only inputs require a call. */
    pollTimeout(): number | null;
    /** True without a restriction to one kind. */
    get isAuto(): boolean;
    get state(): State;
    /** Kind that carries the stream; null without a transport. */
    get transport(): Kind | null;
    /** Version of the protocol; 0 before it is known. */
    get version(): Version | 0;
    get problem(): Problem | null;
    get counters(): Counters;
    get unackedBytes(): number;
}
