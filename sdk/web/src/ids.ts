/** Makes stream ids. An id is a secret: whoever knows it can read and write the stream. */

const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';

/** 26 random characters of 32: 130 bits. */
export function newStreamId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(26));
  return Array.from(bytes, (byte) => LETTERS.charAt(byte % LETTERS.length)).join('');
}
