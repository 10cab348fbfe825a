/** Generates stream ids. An id is a secret: its holder can read and write the stream. Used by the client. */
/** Returns 26 random base-32 digits, 130 bits. */
export declare function newStreamId(): string;
