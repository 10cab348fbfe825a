/** Makes stream ids. An id is a secret: whoever knows it can read and write the stream. */
/** 26 random digits to the base of 32: 130 bits. */
export declare function newStreamId(): string;
