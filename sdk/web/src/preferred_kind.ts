/**
 * Remembers the transport kind that worked for an origin, in localStorage and for one day. Used by the driver.
 */
import { KINDS, type Kind } from './stream/types.js';

const KEY = 'minerva ';
/** ms after which an entry expires: a portable computer changes its network. */
const MAX_AGE = 86_400_000;

/** Returns the stored kind for `url`; undefined without a valid entry. */
export function loadPreferredKind(url: string): Kind | undefined {
  try {
    const [at, kind] = (localStorage.getItem(KEY + url) ?? '').split(' ');
    if (Date.now() - Number(at) < MAX_AGE) return KINDS.find((known) => known === kind);
  } catch {
    // Storage is absent or forbidden.
  }
  return undefined;
}

/** Stores the kind for `url`; failures are ignored. */
export function storePreferredKind(url: string, kind: Kind): void {
  try {
    localStorage.setItem(KEY + url, `${Date.now()} ${kind}`);
  } catch {
    // Storage is full or forbidden: the next page starts with a WebSocket.
  }
}
