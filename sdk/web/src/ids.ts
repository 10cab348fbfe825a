/** Makes stream ids. An id is a secret: whoever knows it can read and write the stream. */

/** 26 random digits to the base of 32: 130 bits. */
export function newStreamId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(26));
  return Array.from(bytes, (byte) => (byte % 32).toString(32)).join('');
}
