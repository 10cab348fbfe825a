import type { Counters, Kind, State } from './stream/types.js';
export type { Counters, Kind, State };
/** `ready` waits while more bytes than this are unacknowledged. */
export declare const HIGH_WATER: number;
/** `send` refuses what would make the unacknowledged bytes more than this. */
export declare const MAX_BUFFERED: number;
export interface MinervaOptions {
    /** The first kind of transport; `websocket` unless given. */
    readonly transport?: Kind;
    /** Shown to the application when the stream starts; at most 8 KiB. */
    readonly cred?: string;
}
/** How a stream ended; `applicationLevel`: because an application said so. */
export interface End {
    readonly reason: string;
    readonly applicationLevel: boolean;
}
/** Why a promise of a stream was rejected: the stream ended, or the argument cannot be sent. */
export declare class MinervaError extends Error {
    readonly name = "MinervaError";
}
interface StreamEvents {
    string: string;
    transport: Kind | null;
    state: State;
    end: End;
}
type Handler<K extends keyof StreamEvents> = ((event: MessageEvent<StreamEvents[K]>) => void) | null;
/**
 * A stream of strings with the application behind `url`, in order, each once, over whatever
 * transport works. Events: `string`, `transport`, `state`, `end`; the value is in `event.data`.
 */
export declare class MinervaStream extends EventTarget {
    #private;
    /** The secret that names the stream. */
    readonly id: string;
    onstring: Handler<'string'>;
    ontransport: Handler<'transport'>;
    onstate: Handler<'state'>;
    onend: Handler<'end'>;
    /** `url` is the address of the service, `/_minerva/` for the default one. */
    constructor(url?: string | URL, options?: MinervaOptions);
    /**
     * Sends a string of the characters 0x20-0x7E, at most 1,048,575. The promise is fulfilled when
     * the string is durable on the server, and rejected if the stream ends before.
     */
    send(text: string): Promise<void>;
    /** Fulfilled when it is a good time to send: less than HIGH_WATER bytes are unacknowledged. */
    get ready(): Promise<void>;
    /** Bytes given to `send` and not acknowledged. */
    get bufferedAmount(): number;
    get state(): State;
    /** The kind of transport that carries the stream now; null: none. */
    get transport(): Kind | null;
    get counters(): Readonly<Counters>;
    /** How the stream ended; null: it has not. */
    get end(): End | null;
    /** Moves the stream to another kind of transport, which takes over before the present one ends. */
    switchTo(kind: Kind): void;
    /** Drops the transport as a broken network would; the stream finds a new one. For tests and demos. */
    cut(): void;
    /** Gives the stream up, on both sides. `reason`: at most 255 characters 0x20-0x7E. */
    reset(reason?: string): void;
    /** The strings that come from now on; the server is held back while they are not taken. */
    [Symbol.asyncIterator](): AsyncIterableIterator<string>;
}
