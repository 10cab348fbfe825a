/**
 * One HTTP exchange: a POST of frames, and the frames of its response as they come. Used by the
 * HTTP transports and for uploads.
 */
import { joinLines, Lines } from '../framing.js';
import type { Listener, TransportHandle } from './transport.js';

/** Posts `frames`; with `together` the response is reported once, as a whole. */
export function post(
  url: string,
  frames: readonly string[],
  listener: Listener,
  together: boolean,
): TransportHandle {
  const abort = new AbortController();
  const received: string[] = [];
  const exchange = async (): Promise<void> => {
    const response = await fetch(url, {
      method: 'POST',
      body: joinLines(frames),
      // Not one of the types a foreign page's form could post.
      headers: { 'content-type': 'application/octet-stream' },
      cache: 'no-store',
      credentials: 'same-origin',
      signal: abort.signal,
    });
    if (response.status !== 200 || !response.body) throw new Error(`status ${response.status}`);
    const reader = response.body.getReader();
    // One character per byte: a broken byte must not swallow its neighbours.
    const decoder = new TextDecoder('latin1');
    const lines = new Lines();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      received.push(...lines.push(decoder.decode(value, { stream: true })));
      if (lines.corrupt) throw new Error('a frame is too long');
      if (!together && received.length > 0 && !abort.signal.aborted) listener(received.splice(0), null);
    }
  };
  const over = (ending: 'ended' | 'failed'): void => {
    // A frame that came whole counts, however the exchange ended.
    if (!abort.signal.aborted) listener(received.splice(0), ending);
    abort.abort();
  };
  exchange().then(
    () => over('ended'),
    () => over('failed'),
  );
  return { write: () => {}, close: () => abort.abort() };
}
