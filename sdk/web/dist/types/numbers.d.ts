/** Canonical decimal numbers as frames carry them. Used by the SACK, frame and QAN codecs. */
/** Largest number of the protocol, 2^53; a double represents every integer up to this one exactly. */
export declare const MAX_NUMBER: number;
/** Parses digits without sign or leading zeros, at most 2^53; null for any other text. */
export declare function parseNumber(text: string): number | null;
