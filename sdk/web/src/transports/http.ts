/**
 * HTTP transports: a POST of frames whose response frames are reported as they arrive (HTTP stream) or together at the
 * end (long-poll, upload). Used by the driver.
 */
import type { OutFrame } from '../frames.js';
import { concat, encodeOut } from '../frames3.js';
import { joinLines, Lines } from '../framing.js';
import { DAMAGED, local, NO_VERSION_3, type Refusal } from '../stream/refusal.js';
import type { TransportOutcome, Version } from '../stream/types.js';
import { Frames, type InFrame } from './reader.js';
import { readRefusal } from './refused_response.js';
import type { Listener, TransportHandle } from './transport.js';

/** First frame of every response of version 2; other responses come from a proxy, such as a login page. */
const PREAMBLE = ';)]}^';

/** Posts frames of a version; with `buffered`, the listener receives the whole response at once. */
export function openHttp(
  url: string,
  version: Version,
  frames: readonly OutFrame[],
  listener: Listener,
  buffered: boolean,
  credentials: RequestCredentials,
): TransportHandle {
  const abort = new AbortController();
  const received: InFrame[] = [];
  let outcome: TransportOutcome = 'failed';
  let refusal: Refusal = local('network', `no connection to ${new URL(url).host}`);
  let isOwn = false;
  const exchange = async (): Promise<void> => {
    const response = await fetch(url, { ...request(version, frames, credentials), signal: abort.signal });
    if (response.status !== 200 || !response.body) {
      outcome = outcomeOf(response.status);
      refusal = await readRefusal(response);
      return;
    }
    refusal = local('network', 'connection cut');
    const reader = response.body.getReader();
    const frames3 = VERSION_3 && version === 3 ? new Frames() : null;
    // Latin-1 maps each byte to one character, so an invalid byte cannot swallow its neighbours.
    const decoder = new TextDecoder('latin1');
    const lines = new Lines();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (VERSION_3 && frames3 && !isOwn) {
        const first = String.fromCharCode(value[0] ?? 0);
        if (first === PREAMBLE[0]) {
          refusal = NO_VERSION_3;
          return;
        }
        // A welcome, a refusal, or the end of a stream that is over.
        isOwn = 'WR!'.includes(first);
        if (!isOwn) break;
      }
      if (VERSION_3 && frames3) received.push(...frames3.push(value));
      else received.push(...lines.push(decoder.decode(value, { stream: true })));
      isOwn ||= received[0] === PREAMBLE;
      if (!isOwn && received.length > 0) break;
      if (VERSION_3 && frames3?.corrupt) refusal = DAMAGED;
      if (lines.corrupt || (VERSION_3 && frames3?.corrupt)) return;
      if (!buffered && received.length > 0 && !abort.signal.aborted) listener(received.splice(0), null);
    }
    if (isOwn) outcome = 'ended';
    else {
      received.length = 0;
      refusal = local('proxy', 'not Minerva (a login page?)');
    }
  };
  const over = (): void => {
    // Complete frames count even if the exchange failed afterwards.
    if (abort.signal.aborted) return;
    listener(received.splice(0), outcome, outcome === 'ended' ? undefined : refusal);
    // Cancels the rest of a response. Browsers count an aborted request as failed, even a complete one.
    if (outcome !== 'ended') abort.abort();
  };
  exchange().then(over, over);
  return { close: () => abort.abort() };
}

/** Outcome of a request that was answered with another status than 200. */
export function outcomeOf(status: number): TransportOutcome {
  return [429, 503].includes(status) ? 'unavailable' : 'failed';
}

/** Longest reset in characters, messages included, whose request outlives the page; browsers limit the sum to 64 KiB. */
const MAX_KEEPALIVE_RESET = 4096;

/** Builds a POST of frames of a version. With `keepalive`, the request outlives the page; browsers limit the size. */
export function request(
  version: Version,
  frames: readonly OutFrame[],
  credentials: RequestCredentials,
  keepalive = false,
): RequestInit {
  // Frames of version 2 are text.
  const body = VERSION_3 && version === 3 ? concat(frames.map(encodeOut)) : joinLines(frames as readonly string[]);
  return {
    method: 'POST',
    body: body as BodyInit,
    // HTML forms of other origins cannot post this content type.
    headers: { 'content-type': 'application/octet-stream' },
    cache: 'no-store',
    credentials,
    // A reset at the end of a page should outlive the page.
    keepalive: keepalive || (body.length < MAX_KEEPALIVE_RESET && String(frames.at(-1)).endsWith('!')),
  };
}
