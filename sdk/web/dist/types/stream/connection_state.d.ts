/**
 * Connection state as reported to the application: stream state, transport kind and reconnect count. Derived from the
 * transports. Used by the stream machine.
 */
import type { Transports } from './transports.js';
import type { Kind, Output, State } from './types.js';
export declare class ConnectionState {
    #private;
    state: State;
    /** Kind that carries the stream; null without a transport. */
    kind: Kind | null;
    /** Transitions from `reconnecting` to `open`. */
    reconnects: number;
    /** Keeps the state `open` until the successor is attached or fails. */
    onHandover(): void;
    /** Derives state and kind from the transports and returns the changes; `polling` is true between two long-polls. */
    update(transports: Transports, polling: boolean): Output[];
    /** Enters the final state and returns the changes. */
    end(): Output[];
}
