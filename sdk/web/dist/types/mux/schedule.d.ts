import type { Mode, Part } from './format.js';
/** Kind of a channel: the kinds of HTTP transports. */
export type ChannelKind = 'http-stream' | 'long-poll' | 'upload';
/** Time in ms for which a held request waits for further channels. */
export declare const GATHER_TIME = 25;
/** Least time in ms between two openings of a held request with channels, so that new tabs seldom disturb the others. */
export declare const MIN_HOLD_TIME = 600;
/** Age in ms from which an upload without a response no longer delays the next one. */
export declare const UPLOAD_STALL_TIME = 1000;
/** Age in ms from which the failure of a held request is a cut, and its channels continue on another request. */
export declare const MIN_CUT_AGE = 3000;
/** Most channels and characters of one request; servers accept 64 parts and 256 KiB. */
export declare const MAX_CHANNELS = 60;
export declare const MAX_CHARACTERS = 200000;
/** Instruction for the worker. `request` identifies an HTTP request, `channel` a transport of a tab. */
export type MuxOutput = {
    readonly do: 'fetch';
    readonly request: number;
    readonly mode: Mode;
    readonly parts: readonly Part[];
} | {
    readonly do: 'abort';
    readonly request: number;
} | {
    readonly do: 'frames';
    readonly channel: number;
    readonly frames: string[];
} | {
    readonly do: 'end';
    readonly channel: number;
    readonly status: number;
    readonly wait: number;
};
export declare class MuxSchedule {
    #private;
    /** Opens a transport with the lines of its frames, the hello first. */
    open(number: number, kind: ChannelKind, service: string, body: string, now: number): void;
    /** Closes a transport; nothing more is reported for the channel. */
    close(number: number): void;
    /** Handles bytes of a channel that arrived on a request. */
    onData(request: number, number: number, data: string): void;
    /** Handles the end of a channel that arrived on a request. */
    onChannelEnd(request: number, number: number, status: number, wait: number): void;
    /** Handles the end of a request with its HTTP status, 0 after a network failure. */
    onRequestEnd(number: number, status: number, wait: number, now: number): void;
    /** Opens due requests and returns the outputs, in order. Called after every input and at `timeout`. */
    drain(now: number): MuxOutput[];
    /** Returns the time by which `drain` must be called; Infinity if only inputs require a call. */
    timeout(now: number): number;
    /** Number of open requests. */
    get requests(): number;
}
