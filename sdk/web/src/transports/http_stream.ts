/** HTTP stream: one POST whose response goes on and on. Used by the client for the kind `http-stream`. */
import { post } from './http.js';
import type { Listener, TransportHandle } from './transport.js';

export function openHttpStream(url: string, frames: readonly string[], listener: Listener): TransportHandle {
  return post(url, frames, listener, false);
}
