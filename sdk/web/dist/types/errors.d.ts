/** Errors of the public API. */
/**
 * Reason for a rejected call: the stream has ended, or an argument is invalid.
 *
 *     await stream.send(text).catch((error) => showError(error.message));
 */
export declare class MinervaError extends Error {
    readonly name = "MinervaError";
}
