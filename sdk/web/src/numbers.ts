/** Canonical decimal numbers as frames carry them. Used by the SACK, frame and QAN codecs. */

/** Largest number of the protocol, 2^53; a double represents every integer up to this one exactly. */
export const MAX_NUMBER = 2 ** 53;

const MAX_DIGITS = String(MAX_NUMBER);

/** Parses digits without sign or leading zeros, at most 2^53; null for any other text. */
export function parseNumber(text: string): number | null {
  if (!/^(0|[1-9]\d{0,15})$/.test(text)) return null;
  // The comparison is textual because 2^53 + 1 rounds to 2^53 as a number.
  if (text.length === MAX_DIGITS.length && text > MAX_DIGITS) return null;
  return Number(text);
}
