/**
 * Connection state as reported to the application: stream state, transport kind and reconnect count. Derived from the
 * transports. Used by the stream machine.
 */
import type { Transports } from './transports.js';
import type { Kind, Output, State } from './types.js';

export class ConnectionState {
  state: State = 'connecting';
  /** Kind that carries the stream; null without a transport. */
  kind: Kind | null = null;
  /** Transitions from `reconnecting` to `open`. */
  reconnects = 0;
  /** The predecessor ended in order and its successor is not attached yet; the reported kind stays. */
  #handover = false;
  /** Reason for which the current transport was opened. */
  #why = '';

  /** Keeps the state `open` until the successor is attached or fails. */
  onHandover(): void {
    this.#handover = true;
  }

  /** Derives state and kind from the transports and returns the changes; `polling` is true between two long-polls. */
  update(transports: Transports, polling: boolean): Output[] {
    const { primary, predecessor } = transports;
    if (primary?.attached) this.#why = primary.why;
    const carrier = [primary, predecessor].find((t) => t?.attached);
    this.#handover &&= !carrier && (primary ?? predecessor) !== null;
    const silent = this.#handover ? this.kind : polling && !primary ? 'long-poll' : null;
    const kind = carrier && carrier.kind !== 'upload' ? carrier.kind : silent;
    const lost = this.state === 'connecting' ? 'connecting' : 'reconnecting';
    return this.#transition(kind ? 'open' : lost, kind, kind ? this.#why : 'lost');
  }

  /** Enters the final state and returns the changes. */
  end(): Output[] {
    return this.#transition('ended', null, 'end');
  }

  #transition(state: State, kind: Kind | null, why: string): Output[] {
    const changes: Output[] = [];
    if (this.state === 'reconnecting' && state === 'open') this.reconnects += 1;
    if (kind !== this.kind) changes.push({ do: 'transport', kind, why });
    if (state !== this.state) changes.push({ do: 'state', state });
    this.kind = kind;
    this.state = state;
    return changes;
  }
}
