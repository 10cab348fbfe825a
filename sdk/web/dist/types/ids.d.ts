/**
 * Generates stream ids and resume keys. Both are secrets: the holder of the id, in version 3 of both, can read and write
 * the stream. Used by the client.
 */
/** Returns 26 random base-32 digits, 130 bits. */
export declare function newStreamId(): string;
/** Returns 22 base64url characters, 128 bits. */
export declare function newResumeKey(): string;
