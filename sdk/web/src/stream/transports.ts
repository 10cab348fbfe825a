/** Current transports of a stream by role. Used by the stream machine, the transport policy and the uploads. */
import type { Kind, Transport } from './types.js';

export class Transports {
  /** WebSocket being opened, or being proven; carries no messages. */
  candidate: Transport | null = null;
  /** Newest transport that carries server-to-client messages. */
  primary: Transport | null = null;
  /** Transport that the primary replaces, still open. */
  predecessor: Transport | null = null;
  /** HTTP request that carries client-to-server messages beside an HTTP primary. */
  upload: Transport | null = null;

  all(): Transport[] {
    return [this.candidate, this.upload, this.predecessor, this.primary].filter((t) => t !== null);
  }

  find(key: number): Transport | undefined {
    return this.all().find((t) => t.key === key);
  }

  /** Removes a transport from its role. */
  remove(transport: Transport): void {
    if (this.candidate === transport) this.candidate = null;
    if (this.upload === transport) this.upload = null;
    if (this.predecessor === transport) this.predecessor = null;
    if (this.primary === transport) this.primary = null;
  }

  /**
   * Makes the primary the predecessor, which stays open until a successor works. Returns the transport to close: the
   * former predecessor, or the primary if closing, or unattached beside a healthy predecessor.
   */
  retire(): Transport | null {
    const { primary, predecessor, healthyPredecessor } = this;
    if (!primary || primary.closing || (!primary.attached && healthyPredecessor)) return primary;
    this.predecessor = primary;
    this.primary = null;
    return predecessor;
  }

  /** The predecessor, if attached and neither closing nor suspect. */
  get healthyPredecessor(): Transport | null {
    const { predecessor } = this;
    return predecessor?.attached && !predecessor.closing && !predecessor.suspect ? predecessor : null;
  }

  /** Transport for client-to-server messages: the newest attached one, else the primary. */
  get carrier(): Transport | null {
    return this.primary?.attached ? this.primary : (this.healthyPredecessor ?? this.primary);
  }

  /** Kind of the transport that works now; null for none. */
  get healthyKind(): Kind | null {
    const found = [this.primary, this.healthyPredecessor].find((t) => t?.attached && !t.suspect);
    return found ? (found.kind as Kind) : null;
  }
}
