/** Errors of the public API. */
/**
 * Reason for a rejected call: the stream has ended, or an argument is invalid.
 *
 *     await stream.send(text).catch((error) => showError(error.message));
 */
export declare class MinervaError extends Error {
    readonly name = "MinervaError";
}
/** Returns the error for a value of a wrong type: a `TypeError`, whose code distinguishes the error from those of the language. */
export declare function wrongType(rule: string): TypeError;
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
    readonly body: string | Uint8Array;
    readonly known: boolean;
    readonly name = "QanError";
    constructor(body: string | Uint8Array, known?: boolean);
}
