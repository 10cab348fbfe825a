/**
 * The transports that a stream has at a time and the part each plays. Knows no frames. Used by the
 * stream machine.
 */
import type { Kind, Transport } from './types.js';

export class Transports {
  /** A WebSocket that is being opened; the server has not heard of it yet. */
  candidate: Transport | null = null;
  /** The newest transport that wants strings. */
  primary: Transport | null = null;
  /** The one it succeeds, still open: at most one. */
  predecessor: Transport | null = null;
  /** Carries own strings when the primary cannot. */
  upload: Transport | null = null;

  all(): Transport[] {
    return [this.candidate, this.upload, this.predecessor, this.primary].filter((t) => t !== null);
  }

  find(key: number): Transport | undefined {
    return this.all().find((t) => t.key === key);
  }

  /** Takes a transport out. */
  remove(transport: Transport): void {
    if (this.candidate === transport) this.candidate = null;
    if (this.upload === transport) this.upload = null;
    if (this.predecessor === transport) this.predecessor = null;
    if (this.primary === transport) this.primary = null;
  }

  /** Makes room for a successor: the primary stays open until that has taken over. Returns which one is to be closed. */
  retire(): Transport | null {
    const { primary, predecessor, healthyPredecessor } = this;
    if (!primary || primary.closing || (!primary.attached && healthyPredecessor)) return primary;
    this.predecessor = primary;
    this.primary = null;
    return predecessor;
  }

  /** The predecessor as long as it works. */
  get healthyPredecessor(): Transport | null {
    const { predecessor } = this;
    return predecessor?.attached && !predecessor.closing && !predecessor.suspect ? predecessor : null;
  }

  /** Where own strings go: the newest transport that works, for want of one the newest. */
  get carrier(): Transport | null {
    return this.primary?.attached ? this.primary : (this.healthyPredecessor ?? this.primary);
  }

  /** The kind that works now; null: none does. */
  get healthyKind(): Kind | null {
    const found = [this.primary, this.healthyPredecessor].find((t) => t?.attached && !t.suspect);
    return found ? (found.kind as Kind) : null;
  }
}
