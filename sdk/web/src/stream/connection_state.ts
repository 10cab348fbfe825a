/**
 * What the application is told of the connection: the state and the kind of transport, and how often
 * the stream was without one. Used by the stream machine.
 */
import type { Transports } from './transports.js';
import type { Kind, Output, State } from './types.js';

export class ConnectionState {
  state: State = 'connecting';
  /** The kind that carries the stream now; null: none. */
  kind: Kind | null = null;
  /** How often the stream was without a transport and found one again. */
  reconnects = 0;
  /** The previous transport ended in order and the primary has not answered yet. */
  #handover = false;
  /** Why the transport that carries the stream was opened. */
  #why = '';

  onHandover(): void {
    this.#handover = true;
  }

  /** Looks at the transports again (`polling`: between two long-polls); returns what has changed. */
  update(transports: Transports, polling: boolean): Output[] {
    const { primary, predecessor } = transports;
    if (primary?.attached) this.#why = primary.why;
    const carrier = [primary, predecessor].find((t) => t?.attached);
    this.#handover &&= !carrier && primary !== null;
    const silent = this.#handover ? this.kind : polling && !primary ? 'long-poll' : null;
    const kind = carrier && carrier.kind !== 'upload' ? carrier.kind : silent;
    const lost = this.state === 'connecting' ? 'connecting' : 'reconnecting';
    return this.#transition(kind ? 'open' : lost, kind, kind ? this.#why : 'lost');
  }

  /** The stream is over. */
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
