/**
 * Queue of received messages behind one async iteration. A full queue makes the client apply back-pressure to the
 * server. Used by the client.
 */
import type { Message } from './message.js';
/** Limits of a queue; at either one the client pauses the server. They equal the server's default outbox. */
export declare const MAX_INBOX_MESSAGES = 1000;
export declare const MAX_INBOX_BYTES: number;
export declare class Inbox implements AsyncIterableIterator<Message> {
    #private;
    readonly onTaken: () => void;
    readonly onReturn: (inbox: Inbox) => void;
    /** Calls `onTaken` after each message taken by the iteration, and `onReturn` when the iteration is abandoned. */
    constructor(onTaken: () => void, onReturn: (inbox: Inbox) => void);
    push(message: Message): void;
    /** Marks the end of the stream; queued messages remain available. */
    end(): void;
    get isFull(): boolean;
    next(): Promise<IteratorResult<Message>>;
    return(): Promise<IteratorResult<Message>>;
    [Symbol.asyncIterator](): this;
}
