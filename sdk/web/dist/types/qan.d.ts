/**
 * QAN (questions, answers, notifications): requests in both directions over the messages of a stream. Independent of
 * the stream: the caller passes received messages and a send function. A body is text or binary, and so is the message that
 * carries the body. A module of its own, which the client loads with the first use.
 */
import { QanError } from './errors.js';
import type { Message } from './message.js';
/** Handlers for questions and notifications of the peer; see `Qan.handle`. */
export interface QanHandler {
    /** Returns the answer to a question. `signal` is aborted when the peer cancels the question or the stream ends. */
    question?(body: Message, signal: AbortSignal): Message | Promise<Message>;
    /** Receives a notification. */
    notification?(body: Message): unknown;
}
/**
 * Questions, answers and notifications on one stream; the methods are those of `MinervaStream.qan`.
 */
export declare class Qan {
    #private;
    readonly send: (message: Message) => Promise<void>;
    readonly fail: (reason: string) => void;
    /** The class of the client's script: this module has another copy. */
    readonly errorType: typeof QanError;
    /** `send` queues a message; `fail` resets the stream with a reason after a protocol violation. */
    constructor(send: (message: Message) => Promise<void>, fail: (reason: string) => void, 
    /** The class of the client's script: this module has another copy. */
    errorType?: typeof QanError);
    /**
     * Sends a question. The promise is fulfilled with the answer, and rejected by an error answer, by `signal`, or by
     * the end of the stream.
     */
    ask(body: Message, { signal }?: {
        signal?: AbortSignal;
    }): Promise<Message>;
    /** Sends a notification: `await stream.qan.notify('seen 7')`. Fulfilled when durable on the server. */
    notify(body: Message): Promise<void>;
    /**
     * Replaces the handlers for questions and notifications of the peer.
     *
     *     stream.qan.handle({ question: (body) => `you sent ${body}`, notification: show });
     */
    handle(handler: QanHandler): void;
    /** Processes a received message. */
    recv(message: Message): void;
    /** Rejects pending questions and aborts running handlers with `error`; called at the end of the stream. */
    end(error: Error): void;
}
