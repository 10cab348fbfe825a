/**
 * Received strings that an async iteration has not taken yet. Says when it is full, so that the
 * stream can hold the server back. Used by the client.
 */
/** Above this the server is held back: as much as it keeps for a client that is behind. */
export declare const MAX_INBOX_MESSAGES = 1000;
export declare const MAX_INBOX_BYTES: number;
export declare class Inbox implements AsyncIterableIterator<string> {
    #private;
    readonly onTaken: () => void;
    readonly onReturn: (inbox: Inbox) => void;
    /** `onTaken` is called after a string was taken, `onReturn` when the iteration is given up. */
    constructor(onTaken: () => void, onReturn: (inbox: Inbox) => void);
    push(text: string): void;
    /** No string follows; those that wait can still be taken. */
    end(): void;
    get isFull(): boolean;
    next(): Promise<IteratorResult<string>>;
    return(): Promise<IteratorResult<string>>;
    [Symbol.asyncIterator](): this;
}
