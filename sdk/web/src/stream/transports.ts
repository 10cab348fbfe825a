/**
 * The transports that a stream has at a time and the part each plays. Knows no frames. Used by the
 * stream machine.
 */
import type { Transport } from './types.js';

export class Transports {
  /** The newest transport that wants strings. */
  primary: Transport | null = null;
  /** The one it succeeds, still open: at most one. */
  previous: Transport | null = null;
  /** Carries own strings when the primary cannot. */
  upload: Transport | null = null;

  all(): Transport[] {
    return [this.upload, this.previous, this.primary].filter((t) => t !== null);
  }

  find(tnum: number): Transport | undefined {
    return this.all().find((t) => t.number === tnum);
  }

  /** Takes a transport out; tells what it was. */
  remove(transport: Transport): 'primary' | 'previous' | 'upload' | null {
    for (const part of ['primary', 'previous', 'upload'] as const) {
      if (this[part] !== transport) continue;
      this[part] = null;
      return part;
    }
    return null;
  }

  /** The predecessor as long as it works. */
  get working(): Transport | null {
    return this.previous?.heard && !this.previous.closing ? this.previous : null;
  }

  /** Where own strings go: the newest transport that works, for want of one the newest. */
  get carrier(): Transport | null {
    return this.primary?.heard ? this.primary : (this.working ?? this.primary);
  }
}
