/**
 * Canonical decimals: the one way numbers stand in frames. Knows nothing of what they count.
 * Used by the SACK and frame codecs.
 */
/** The largest number of the protocol, 2^53: the last one a double tells from its neighbours. */
export declare const MAX_NUMBER: number;
/** Reads digits without sign or leading zeros, at most 2^53; anything else is null. */
export declare function parseNumber(text: string): number | null;
