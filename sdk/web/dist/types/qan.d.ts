import type { Message } from './message.js';
/**
 * Error answer to a question. A `question` handler throws a `QanError` to answer with `body`; `ask` rejects with a
 * `QanError` on an error answer. `known` is false if the peer failed without an error meant for this side.
 *
 *     stream.qan.handle({
 *       question(body) {
 *         throw new QanError('out of stock');
 *       },
 *     });
 */
export declare class QanError extends Error {
    readonly body: Message;
    readonly known: boolean;
    readonly name = "QanError";
    constructor(body: Message, known?: boolean);
}
/** Handlers for questions and notifications of the peer; see `Qan.handle`. */
export interface QanHandler {
    /** Returns the answer to a question. `signal` is aborted when the peer cancels the question or the stream ends. */
    question?(body: Message, signal: AbortSignal): Message | Promise<Message>;
    /** Receives a notification. */
    notification?(body: Message): unknown;
}
/**
 * Questions, answers and notifications on one stream; obtained from `MinervaStream.qan`.
 *
 *     const answer = await stream.qan.ask('price of 7', { signal: AbortSignal.timeout(5000) });
 */
export declare class Qan {
    #private;
    readonly send: (message: Message) => Promise<void>;
    readonly fail: (reason: string) => void;
    /** `send` queues a message; `fail` resets the stream with a reason after a protocol violation. */
    constructor(send: (message: Message) => Promise<void>, fail: (reason: string) => void);
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
