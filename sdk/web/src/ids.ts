/**
 * Generates stream ids and resume keys. Both are secrets: the holder of the id, in version 3 of both, can read and write
 * the stream. Used by the client.
 */

/** Returns 26 random base-32 digits, 130 bits. */
export function newStreamId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(26));
  return Array.from(bytes, (byte) => (byte % 32).toString(32)).join('');
}

/** Returns 22 base64url characters, 128 bits. */
export function newResumeKey(): string {
  const base64 = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
  return base64.slice(0, 22).replace(/\+/g, '-').replace(/\//g, '_');
}
