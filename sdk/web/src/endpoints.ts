/**
 * URLs of a service: selects the one for each new transport. If nothing answers at the present URL, the last resort of
 * each round of attempts tries the other ones in turn; the stream moves to the first that answers. Used by the driver.
 */
import type { Kind } from './stream/types.js';

export class Endpoints {
  #at = 0;
  /** Transports opened, and URLs tried as the last resort, since the last answer. */
  #attempts = 0;
  #tries = 0;

  /** `bases` may be empty: nothing is opened. */
  constructor(
    readonly bases: readonly URL[],
    /** Whether requests send the cookies of the user. */
    readonly credentials: RequestCredentials = 'same-origin',
    /** Base of long HTTP requests beside the first URL. */
    readonly long: URL | null = null,
  ) {}

  /** Selects the URL of a new transport. Nothing else works if `isAlone`; `isPinned` excludes other kinds. */
  next(kind: Kind | 'upload', isAlone: boolean, isPinned: boolean): number {
    if (kind === 'upload') return this.#at;
    const isLast = isAlone && (isPinned || kind === 'long-poll') && this.#attempts > 0;
    this.#attempts += 1;
    return (this.#at + (isLast ? ++this.#tries : 0)) % this.bases.length;
  }

  /** Records an answer; returns true if the stream moves to another URL, which takes that nothing else works. */
  onAnswer(index: number, isAlone: boolean): boolean {
    const moved = index !== this.#at;
    if (moved && !isAlone) return false;
    this.#at = index;
    this.#attempts = this.#tries = 0;
    return moved;
  }

  /** URL for transports of a kind. */
  url(kind: Kind | 'upload', index = this.#at): string {
    const base = this.bases[index] as URL;
    if (kind !== 'websocket') return new URL('io/', kind !== 'upload' && index === 0 && this.long ? this.long : base).href;
    const url = new URL('ws', base);
    url.protocol = url.protocol.replace('http', 'ws');
    // Browsers send cookies with every WebSocket; the edge then does not pass them on.
    const { location } = globalThis;
    const omits = { omit: true, include: false, 'same-origin': base.origin !== location?.origin }[this.credentials];
    if (location && omits) url.search = 'credentials=omit';
    return url.href;
  }
}
