/**
 * One stream for all tabs of an origin: a SharedWorker holds it, the tabs send through it and all of them
 * receive what comes. The same file is the tabs' script and the worker's. Where there is no
 * SharedWorker each tab has a stream of its own.
 */
import type { End, Kind, MinervaOptions, MinervaStream, State, TransportChange } from './client.js';
type Handler<T> = ((event: MessageEvent<T>) => void) | null;
/** A tab's end of the shared stream: the part of `MinervaStream` that makes sense for several. */
export declare class SharedStream extends EventTarget {
    #private;
    state: State;
    /** The kind of transport that carries the stream now; null: none. */
    transport: Kind | null;
    end: End | null;
    onmessage: Handler<string>;
    ontransport: Handler<TransportChange>;
    onstate: Handler<State>;
    onend: Handler<End>;
    constructor(worker: SharedWorker);
    /** As `MinervaStream.send`. */
    send(text: string): Promise<void>;
    /** Gives the stream up, for all tabs. */
    reset(reason?: string): void;
}
/** The stream that all tabs of this origin share, by `url` and `options`. `client.js` must be loaded, too. */
export declare function shared(url?: string | URL, options?: MinervaOptions): SharedStream | MinervaStream;
export {};
