/**
 * Long-poll: a POST that is answered when there is something to say, and ends then. Used by the
 * client for the kind `long-poll`, and for uploads, which are answered the same way.
 */
import { post } from './http.js';
import type { Listener, TransportHandle } from './transport.js';

export function openLongPoll(url: string, frames: readonly string[], listener: Listener): TransportHandle {
  return post(url, frames, listener, true);
}
