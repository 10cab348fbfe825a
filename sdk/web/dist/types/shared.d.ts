import type { End, Kind, MinervaOptions, MinervaStream, Problem, State, TransportChange } from './client.js';
type Handler<T> = ((event: MessageEvent<T>) => void) | null;
/**
 * Handle of one tab to the shared stream: the subset of `MinervaStream` that applies to several tabs.
 *
 *     const stream = Minerva.shared('/_minerva/');
 *     stream.onmessage = ({ data }) => show(data);
 */
export declare class SharedStream extends EventTarget {
    #private;
    readonly url: URL;
    readonly options: MinervaOptions;
    /** As `MinervaStream.state`. */
    state: State;
    /** As `MinervaStream.transport`. */
    transport: Kind | null;
    /** As `MinervaStream.problem`. */
    problem: Problem | null;
    /** As `MinervaStream.end`. */
    end: End | null;
    /** As `MinervaStream.onmessage`; every tab receives every message. */
    onmessage: Handler<string>;
    /** As `MinervaStream.ontransport`. */
    ontransport: Handler<TransportChange>;
    /** As `MinervaStream.onstate`. */
    onstate: Handler<State>;
    /** As `MinervaStream.onproblem`. */
    onproblem: Handler<Problem | null>;
    /** As `MinervaStream.onend`. */
    onend: Handler<End>;
    /** Connects to the worker; `shared` is the usual way. */
    constructor(worker: SharedWorker, url: URL, options: MinervaOptions);
    /** As `MinervaStream.send`: `await stream.send('hello')`. */
    send(text: string): Promise<void>;
    /** As `MinervaStream.reset`, for all tabs: `stream.reset('signed out')`. */
    reset(reason?: string): void;
}
/**
 * Returns the stream shared by all tabs of this origin that pass the same `url` and `options`. Requires `client.js`.
 * Throws `MinervaError` for invalid options. Without SharedWorker, a stream of this tab alone is returned.
 *
 *     const stream = Minerva.shared('/_minerva/', { heartbeat: 10 });
 */
export declare function shared(url?: string | URL, options?: MinervaOptions): SharedStream | MinervaStream;
export {};
