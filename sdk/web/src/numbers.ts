/**
 * Canonical decimals: the one way numbers stand in frames. Knows nothing of what they count.
 * Used by the SACK and frame codecs.
 */

/** The largest number of the protocol, 2^53: the last one a double tells from its neighbours. */
export const MAX_NUMBER = 2 ** 53;

const MAX_DIGITS = String(MAX_NUMBER);

/** Reads digits without sign or leading zeros, at most 2^53; anything else is null. */
export function parseNumber(text: string): number | null {
  if (!/^(0|[1-9]\d{0,15})$/.test(text)) return null;
  // Compared as text: 2^53 + 1 would round to 2^53 as a number.
  if (text.length === MAX_DIGITS.length && text > MAX_DIGITS) return null;
  return Number(text);
}
