/** Canonical decimal numbers as frames carry them. Used by the SACK, frame and QAN codecs. */

/** Parses digits without sign or leading zeros, at most 2^53; null for any other text. */
export function parseNumber(text: string): number | null {
  // As a number, 2^53 + 1 would be rounded to 2^53.
  return /^(0|[1-9]\d{0,15})$/.test(text) && BigInt(text) <= 2n ** 53n ? Number(text) : null;
}
