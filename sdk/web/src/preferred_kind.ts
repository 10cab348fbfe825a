/** Remembers for the origin which kind of transport worked, for a day. Used by the driver. */
import { KINDS, type Kind } from './stream/types.js';

const KEY = 'minerva ';
/** ms for which it counts: people carry their machines to other networks. */
const MAX_AGE = 86_400_000;

/** What worked the last time; undefined: nothing is known. */
export function loadPreferredKind(url: string): Kind | undefined {
  try {
    const [at, kind] = (localStorage.getItem(KEY + url) ?? '').split(' ');
    if (Date.now() - Number(at) < MAX_AGE) return KINDS.find((known) => known === kind);
  } catch {
    // No storage, or none allowed.
  }
  return undefined;
}

export function storePreferredKind(url: string, kind: Kind): void {
  try {
    localStorage.setItem(KEY + url, `${Date.now()} ${kind}`);
  } catch {
    // Full, or not allowed: the next page finds out by itself.
  }
}
