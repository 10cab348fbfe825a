/** Canonical decimal numbers as frames carry them. Used by the SACK, frame and QAN codecs. */
/** Parses digits without sign or leading zeros, at most 2^53; null for any other text. */
export declare function parseNumber(text: string): number | null;
