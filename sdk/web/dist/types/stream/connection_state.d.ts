/**
 * What the application is told of the connection: the state and the kind of transport, and how often
 * the stream was without one. Used by the stream machine.
 */
import type { Transports } from './transports.js';
import type { Kind, Output, State } from './types.js';
export declare class ConnectionState {
    #private;
    state: State;
    /** The kind that carries the stream now; null: none. */
    kind: Kind | null;
    /** How often the stream was without a transport and found one again. */
    reconnects: number;
    onHandover(): void;
    /** Looks at the transports again (`polling`: between two long-polls); returns what has changed. */
    update(transports: Transports, polling: boolean): Output[];
    /** The stream is over. */
    end(): Output[];
}
