/**
 * Format of multiplexed exchanges, one HTTP request for the transports of several streams: see docs/protocol.md. Pure.
 * Used by the schedule and the shared worker.
 */
/** When the response of a request ends: with its last channel, or shortly after the first one. */
export type Mode = 'stream' | 'poll';
/** One transport of a request. */
export interface Part {
    readonly channel: number;
    /** Name in the URL of the service; empty for the default service. */
    readonly service: string;
    /** Lines of frames, in the characters 0x00-0x7F. */
    readonly body: string;
}
/** Bytes of one channel, or the end of a channel with its HTTP status and `Retry-After` in seconds. */
export type ChannelEvent = {
    readonly channel: number;
    readonly data: string;
} | {
    readonly channel: number;
    readonly status: number;
    readonly wait: number;
};
/** Returns the body of a request. */
export declare function encodeParts(mode: Mode, parts: readonly Part[]): string;
/** Incremental parser of a response in Latin-1. */
export declare class ResponseParser {
    #private;
    /** True after malformed input; later input is ignored. */
    corrupt: boolean;
    /** Appends text and returns the events. Check `corrupt` afterwards. */
    push(text: string): ChannelEvent[];
}
