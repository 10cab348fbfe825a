/** Generates stream ids. An id is a secret: its holder can read and write the stream. Used by the client. */

/** Returns 26 random base-32 digits, 130 bits. */
export function newStreamId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(26));
  return Array.from(bytes, (byte) => (byte % 32).toString(32)).join('');
}
