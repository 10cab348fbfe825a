import { toJson } from './hello.js';
import { Qan, QanError, type QanHandler } from './qan.js';
import type { Counters, End, Kind, State } from './stream/types.js';
export { Qan, QanError, toJson };
export type { Counters, End, Kind, QanHandler, State };
/** `ready` waits while more bytes than this are unacknowledged. */
export declare const HIGH_WATER: number;
/** `send` refuses what would make the unacknowledged bytes more than this. */
export declare const MAX_BUFFERED: number;
export interface MinervaOptions {
    /** The only kind of transport to use; `auto`, unless given: the best that works, changing with the network. */
    readonly transport?: Kind | 'auto';
    /** Shown to the application when the stream starts; at most 8 KiB. */
    readonly cred?: string;
    /** Seconds of silence after which the server sends a heartbeat, 1 to 600; 20 unless given. */
    readonly heartbeat?: number;
}
/** What carries the stream now (`null`: nothing) and why that was opened. */
export interface TransportChange {
    readonly kind: Kind | null;
    readonly why: string;
}
/** Why a promise of a stream was rejected: the stream ended, or the argument cannot be sent. */
export declare class MinervaError extends Error {
    readonly name = "MinervaError";
}
export interface StreamEvents {
    message: string;
    transport: TransportChange;
    state: State;
    end: End;
    /** An upload is about to be made: what is sent now travels along. */
    upload: null;
}
type Handler<K extends keyof StreamEvents> = Listener<K> | null;
type Listener<K extends keyof StreamEvents> = (event: MessageEvent<StreamEvents[K]>) => void;
export interface MinervaStream {
    addEventListener<K extends keyof StreamEvents>(type: K, listener: Listener<K>, options?: AddEventListenerOptions | boolean): void;
    addEventListener(...event: Parameters<EventTarget['addEventListener']>): void;
    removeEventListener<K extends keyof StreamEvents>(type: K, listener: Listener<K>, options?: EventListenerOptions | boolean): void;
    removeEventListener(...event: Parameters<EventTarget['removeEventListener']>): void;
}
/**
 * A stream of strings with the application behind `url`, in order, each once, over whatever
 * transport works. Events: see `StreamEvents`; the value is in `event.data`.
 */
export declare class MinervaStream extends EventTarget {
    #private;
    /** The secret that names the stream. */
    readonly id: string;
    onmessage: Handler<'message'>;
    ontransport: Handler<'transport'>;
    onstate: Handler<'state'>;
    onend: Handler<'end'>;
    onupload: Handler<'upload'>;
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
    /** Questions, answers and notifications. From its first use on all strings belong to it. */
    get qan(): Qan;
    /** The strings that come, as a WHATWG stream: one for all who ask. */
    get readable(): ReadableStream<string>;
    /** Takes strings to send, as a WHATWG stream; closed when all are durable on the server, aborted by a reset. */
    get writable(): WritableStream<string>;
    /** Uses this kind of transport only, or `auto`; it takes over before the present one ends. */
    switchTo(kind: Kind | 'auto'): void;
    /** Drops the transport as a broken network would; the stream finds a new one. For tests and demos. */
    cut(): void;
    /** Gives the stream up, on both sides. `reason`: at most 255 characters 0x20-0x7E. */
    reset(reason?: string): void;
    /** The strings that come from now on; the server is held back while they are not taken. */
    [Symbol.asyncIterator](): AsyncIterableIterator<string>;
}
