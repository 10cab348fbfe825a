import { MinervaError, QanError } from './errors.js';
import type { Listener, StreamEvents, StreamListeners } from './events.js';
import { toJson } from './hello.js';
import { type Message } from './message.js';
import { type MinervaOptions, type ServiceUrl } from './options.js';
import { Qan } from './lazy_qan.js';
import type { QanHandler } from './qan.js';
import type { DurableStream } from './stream_api.js';
import type { Counters, End, Kind, Problem, State } from './stream/types.js';
export { MinervaError, Qan, QanError, toJson };
export type { Counters, End, Kind, Message, MinervaOptions, Problem, QanHandler, State, StreamEvents };
export type { ServiceUrl } from './options.js';
export type { DurableStream } from './stream_api.js';
export type { TransportChange } from './events.js';
export type { Rejoin, Unsent } from './session/host.js';
/** Unacknowledged bytes above which `MinervaStream.ready` is pending. */
export declare const HIGH_WATER: number;
/** Upper bound of unacknowledged bytes; `MinervaStream.send` rejects messages beyond this bound. */
export declare const MAX_BUFFERED: number;
/** Message to send: text or binary. */
export type Sendable = string | ArrayBuffer | ArrayBufferView;
type Handler<K extends keyof StreamEvents> = Listener<K> | null;
/** Typed listeners; see `StreamEvents`. */
export interface MinervaStream {
    addEventListener: StreamListeners['addEventListener'];
    removeEventListener: StreamListeners['removeEventListener'];
}
/**
 * Reliable, ordered, two-way stream of messages between this page and an application service.
 *
 *     const stream = new MinervaStream('/_minerva/');
 *     stream.onmessage = (event) => console.log(event.data);
 *     await stream.send('hello'); // durable on the server now
 *
 * Each message arrives exactly once and in order, on any transport. `StreamEvents` lists the events.
 */
export declare class MinervaStream extends EventTarget implements DurableStream {
    #private;
    /** Id of the stream. The id is a secret: its holder can read and write the stream. */
    id: string;
    /** Handler of `message` events: `stream.onmessage = ({ data }) => show(data)`. */
    onmessage: Handler<'message'>;
    /** Handler of `transport` events; see `TransportChange`. */
    ontransport: Handler<'transport'>;
    /** Handler of `state` events; see `State`. */
    onstate: Handler<'state'>;
    /** Handler of `problem` events; see `Problem`. */
    onproblem: Handler<'problem'>;
    /** Handler of the `end` event; see `End`. */
    onend: Handler<'end'>;
    /** Handler of `rejoin` events of a session; see `Rejoin`. */
    onrejoin: Handler<'rejoin'>;
    /** Handler of `upload` events: `stream.onupload = () => stream.send(position())` adds a message to the request. */
    onupload: Handler<'upload'>;
    /**
     * Opens a stream to the service at `url`: `/_minerva/` for the default service, `/_minerva/NAME/` for another. Several
     * URLs, of servers with the same cores, are tried in turn.
     * Throws `MinervaError` for invalid options. Events start in a later turn, so set the handlers right away. With a
     * relative URL outside of a page, as during server-side rendering, the stream stays `connecting` and opens nothing.
     */
    constructor(url?: ServiceUrl, options?: MinervaOptions);
    /**
     * Ends the stream of a session on the server and deletes the stored state, as at logout. Fulfilled at the end; also if nothing
     * is stored.
     *
     *     await MinervaStream.forget(`board-7/${user}`);
     */
    static forget(session: string, scope?: 'tab' | 'origin'): Promise<void>;
    /**
     * Queues a message: text, or binary as `ArrayBuffer` or a view, which is copied; at most 1,048,575 bytes. The promise is
     * fulfilled when the message is durable on the server. It is rejected with a `TypeError` of code `type` for a value of
     * another type, and with `MinervaError` if the message is invalid, the send buffer (16 MiB) is full, or the stream ends
     * first. Nothing is thrown. On a server without version 3, text has
     * the characters 0x20-0x7E, as `toJson` encodes any value, and binary messages are rejected.
     *
     *     await stream.send('grüße');
     *     await stream.send(new Uint8Array([1, 2, 3]));
     */
    send(message: Sendable): Promise<void>;
    /**
     * Back-pressure: fulfilled while at most 256 KiB are unacknowledged, rejected after `reset` or the end.
     *
     *     for (const line of lines) {
     *       await stream.ready;
     *       stream.send(line);
     *     }
     */
    get ready(): Promise<void>;
    /** Bytes passed to `send` and not yet acknowledged, as `WebSocket.bufferedAmount`. */
    get bufferedAmount(): number;
    /** Current state; `onstate` reports changes. */
    get state(): State;
    /** True if messages and position of the session are stored; false without a session or without usable storage. */
    get stored(): boolean;
    /** Version of the protocol, 2 or 3; 0 before it is known. Only version 3 carries binary messages. */
    get version(): number;
    /** Reason for which the stream is not open; null without a known one. `onproblem` reports changes. */
    get problem(): Problem | null;
    /** Kind of the transport that carries the stream; null without one. `ontransport` reports changes. */
    get transport(): Kind | null;
    /** Message and reconnect counts of this stream: `stream.counters.reconnects`. */
    get counters(): Readonly<Counters>;
    /** Cause of the end; null before the end. `onend` reports the same value. */
    get end(): End | null;
    /**
     * Questions, answers and notifications. From the first use of this property, QAN receives all messages and
     * `message` events stop; use it before the first message arrives.
     *
     *     const answer = await stream.qan.ask('time?');
     */
    get qan(): Qan;
    /**
     * Received messages as a WHATWG stream; each access returns the same stream. Unread messages pause the server.
     *
     *     await stream.readable.pipeTo(sink);
     */
    get readable(): ReadableStream<Message>;
    /**
     * Outgoing messages as a WHATWG stream. `close` is fulfilled when all messages are durable on the server; `abort`
     * resets the stream.
     *
     *     await source.pipeTo(stream.writable);
     */
    get writable(): WritableStream<Sendable>;
    /**
     * Restricts the stream to one transport kind, or lifts the restriction with `auto`. The new transport takes over
     * before the current one closes.
     *
     *     stream.switchTo('long-poll');
     */
    switchTo(kind: Kind | 'auto'): void;
    /** Drops the transport as a network failure would; the stream reconnects. For tests and demos: `stream.cut()`. */
    cut(): void;
    /**
     * Ends the stream on both sides. `reason` is at most 255 characters 0x20-0x7E, else `MinervaError`, or for another type `TypeError`, is thrown.
     *
     *     stream.reset('signed out');
     *
     * The call returns at once; from now on `send` is rejected and no message arrives. The reset is repeated until the
     * server confirms the end, for at most 120 s, and once more at page unload. Then the `end` event follows, with the
     * reason that the application received: an earlier one if the stream had ended already. Without a confirmation the
     * reason is `reset not confirmed`.
     */
    reset(reason?: string): void;
    /**
     * Ends the stream on both sides once all queued messages are durable on the server; from now on `send` is rejected.
     * Messages of the server arrive until the end. The promise is fulfilled with the end. It is rejected if the server
     * ended the stream first, if the end is not confirmed, or if the reason is invalid as in `reset`.
     *
     *     await stream.close('done');
     */
    close(reason?: string): Promise<void>;
    /**
     * Iterates over the messages that arrive from now on. A slow loop pauses the server.
     *
     *     for await (const message of stream) await store(message);
     */
    [Symbol.asyncIterator](): AsyncIterableIterator<Message>;
}
