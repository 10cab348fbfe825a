/**
 * An error that the other side knows how to read: throw it from `question` to answer with it. A question
 * that is answered so, or with an error that only says that something failed (`known` is false), is
 * rejected with it.
 */
export declare class QanError extends Error {
    readonly body: string;
    readonly known: boolean;
    readonly name = "QanError";
    constructor(body: string, known?: boolean);
}
export interface QanHandler {
    /** Answers a question. `signal`: the other side does not need the answer any more. */
    question?(body: string, signal: AbortSignal): string | Promise<string>;
    notification?(body: string): unknown;
}
export declare class Qan {
    #private;
    readonly send: (text: string) => Promise<void>;
    readonly fail: (reason: string) => void;
    constructor(send: (text: string) => Promise<void>, fail: (reason: string) => void);
    /** Asks; fulfilled with the answer. Given up when `signal` says so. */
    ask(body: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<string>;
    /** Tells something that needs no answer; fulfilled when that is durable on the server. */
    notify(body: string): Promise<void>;
    /** Sets who answers from now on. */
    handle(handler: QanHandler): void;
    /** A string came. */
    recv(text: string): void;
    /** The stream is over. */
    end(error: Error): void;
}
