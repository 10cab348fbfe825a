import type { StreamListeners } from '../events.js';
import type * as Client from '../client.js';
import type { Counters, DurableStream, End, Kind, MinervaOptions, Problem, Qan, Rejoin, State, TransportChange } from '../client.js';
type Handler<T> = ((event: MessageEvent<T>) => void) | null;
/** Typed listeners; see `StreamEvents`. */
export interface SharedStream {
    addEventListener: StreamListeners['addEventListener'];
    removeEventListener: StreamListeners['removeEventListener'];
}
/**
 * Handle of one tab to the shared stream, with the interface of a plain stream.
 *
 *     const stream = Minerva.shared('/_minerva/');
 *     stream.onmessage = ({ data }) => show(data);
 */
export declare class SharedStream extends EventTarget implements DurableStream {
    #private;
    readonly start: () => SharedWorker;
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
    /** As `MinervaStream.counters`; messages that this tab has sent and received. */
    readonly counters: Counters;
    /** As `MinervaStream.onmessage`; every tab receives every message. */
    onmessage: Handler<Client.Message>;
    /** As `MinervaStream.ontransport`. */
    ontransport: Handler<TransportChange>;
    /** As `MinervaStream.onstate`. */
    onstate: Handler<State>;
    /** As `MinervaStream.onproblem`. */
    onproblem: Handler<Problem | null>;
    /** As `MinervaStream.onend`. */
    onend: Handler<End>;
    /**
     * With this handler, a stream whose worker dies is followed by another one, in a new worker for all tabs: `fresh` is true, and
     * `unsent` has the rejected messages. Without it the stream ends.
     */
    onrejoin: Handler<Rejoin>;
    /** Connects to the worker, which `start` starts or finds; `shared` is the usual way. Throws as `start`. */
    constructor(start: () => SharedWorker, url: URL, options: MinervaOptions);
    /** As `MinervaStream.id`; empty before the worker has answered. */
    get id(): string;
    /** As `MinervaStream.send`: `await stream.send('hello')`. */
    send(text: string): Promise<void>;
    /** As `MinervaStream.bufferedAmount`, for the messages of this tab. */
    get bufferedAmount(): number;
    /** As `MinervaStream.ready`, for the messages of this tab. */
    get ready(): Promise<void>;
    /** As `MinervaStream.qan`. The tabs use `qan` all or none; one tab, the one that has been open longest, answers questions. */
    get qan(): Qan;
    /** As `MinervaStream.reset`, for all tabs: `stream.reset('signed out')`. */
    reset(reason?: string): void;
    /** As `MinervaStream.close`, for all tabs: behind the messages that any tab has sent before. */
    close(reason?: string): Promise<void>;
}
export {};
