/** Events of a stream and the types of their data. Used by the client. */
import type { Message } from './message.js';
import type { Rejoin } from './session/host.js';
import type { End, Kind, Problem, State } from './stream/types.js';

/**
 * Data of a `transport` event.
 *
 *     stream.ontransport = ({ data }) => console.log(data.kind ?? 'offline', data.why);
 */
export interface TransportChange {
  /** Kind that carries the stream now; null without a transport. */
  readonly kind: Kind | null;
  /** Reason in one word, for diagnostics: `start`, `lost`, `better`, `fallback`, `switch`, ... */
  readonly why: string;
}

/**
 * Event types of a stream and the type of `event.data`.
 *
 *     stream.addEventListener('state', ({ data }) => setOnline(data === 'open'));
 */
export interface StreamEvents {
  /** A message arrived; `lastEventId` of the event is the message number. */
  message: Message;
  /** Another transport kind carries the stream. */
  transport: TransportChange;
  /** The state of the stream changed. */
  state: State;
  /** The reason for which the stream is not open has changed; null once the stream is open. Attempts continue. */
  problem: Problem | null;
  /** The stream ended; only the last `transport` and `state` events follow. */
  end: End;
  /** The page has taken over the stream of an earlier page load, or that stream is over and a new one begins. */
  rejoin: Rejoin;
  /** An HTTP request, a poll for instance, is about to start; messages sent in the handler share an upload. */
  upload: null;
}

/** Listener of one event type. */
export type Listener<K extends keyof StreamEvents> = (event: MessageEvent<StreamEvents[K]>) => void;

/** Typed listeners of all event types. */
export interface StreamListeners {
  addEventListener<K extends keyof StreamEvents>(
    type: K,
    listener: Listener<K>,
    options?: AddEventListenerOptions | boolean,
  ): void;
  addEventListener(...event: Parameters<EventTarget['addEventListener']>): void;
  removeEventListener<K extends keyof StreamEvents>(
    type: K,
    listener: Listener<K>,
    options?: EventListenerOptions | boolean,
  ): void;
  removeEventListener(...event: Parameters<EventTarget['removeEventListener']>): void;
}
