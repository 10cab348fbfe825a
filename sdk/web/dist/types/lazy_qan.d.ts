import type { Message } from './message.js';
import type { QanHandler } from './qan.js';
/**
 * Questions, answers and notifications on one stream; obtained from `MinervaStream.qan`. Calls wait for the module.
 *
 *     const answer = await stream.qan.ask('price of 7', { signal: AbortSignal.timeout(5000) });
 */
export declare class Qan {
    #private;
    /** `send` queues a message; `fail` resets the stream with a reason. */
    constructor(send: (message: Message) => Promise<void>, fail: (reason: string) => void);
    /**
     * Sends a question. The promise is fulfilled with the answer, and rejected by an error answer, by `signal`, or by
     * the end of the stream.
     */
    ask(body: Message, options?: {
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
