/**
 * One HTTP exchange: a POST of frames, and the frames of its response as they come (an HTTP stream) or together
 * at its end (a long-poll, an upload). Used by the driver.
 */
import { joinLines, Lines } from '../framing.js';
import type { TransportOutcome } from '../stream/types.js';
import type { Listener, TransportHandle } from './transport.js';

/** A server's wish to be left alone is honoured up to this, in ms. */
const MAX_RETRY_AFTER = 300_000;

/** Posts `frames`; with `together` the response is reported once, as a whole. */
export function openHttp(
  url: string,
  frames: readonly string[],
  listener: Listener,
  buffered: boolean,
): TransportHandle {
  const abort = new AbortController();
  const received: string[] = [];
  let outcome: TransportOutcome = 'failed';
  let wait = 0;
  const exchange = async (): Promise<void> => {
    const response = await fetch(url, { ...request(frames), signal: abort.signal });
    if (response.status === 503) {
      outcome = 'unavailable';
      wait = Math.min(MAX_RETRY_AFTER, 1000 * (Number(response.headers.get('retry-after')) || 0));
    }
    if (response.status !== 200 || !response.body) return;
    const reader = response.body.getReader();
    // One character per byte: a broken byte must not swallow its neighbours.
    const decoder = new TextDecoder('latin1');
    const lines = new Lines();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      received.push(...lines.push(decoder.decode(value, { stream: true })));
      if (lines.corrupt) return;
      if (!buffered && received.length > 0 && !abort.signal.aborted) listener(received.splice(0), null);
    }
    outcome = 'ended';
  };
  const over = (): void => {
    // A frame that came whole counts, however the exchange ended.
    if (!abort.signal.aborted) listener(received.splice(0), outcome, wait);
    abort.abort();
  };
  exchange().then(over, over);
  return { write: () => {}, close: () => abort.abort() };
}

/** The request of an upload. `keepalive`: it goes on when the page is gone; browsers limit its size. */
export function request(frames: readonly string[], keepalive = false): RequestInit {
  const body = joinLines(frames);
  return {
    method: 'POST',
    body,
    // Not one of the types a foreign page's form could post.
    headers: { 'content-type': 'application/octet-stream' },
    cache: 'no-store',
    // The reset of a page that leaves is short.
    keepalive: keepalive || body.endsWith('!\n'),
  };
}
