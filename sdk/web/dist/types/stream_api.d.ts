/**
 * Interface of a stream, whether the page has a stream of its own or shares one with other tabs. Types only. Implemented by
 * the client and by `shared.ts`.
 */
import type { Listener, StreamListeners } from './events.js';
import type { Qan } from './lazy_qan.js';
import type { Counters, End, Kind, Problem, State } from './stream/types.js';
/**
 * Members that plain and shared streams have in common, so that code of a page runs with both:
 *
 *     function connect(open: (url: string) => DurableStream): void {
 *       const stream = open('/_minerva/');
 *       stream.onmessage = ({ data }) => show(data);
 *     }
 */
export interface DurableStream extends StreamListeners, Pick<EventTarget, 'dispatchEvent'> {
    /** As `MinervaStream.id`; empty while a shared stream has no worker. */
    readonly id: string;
    readonly state: State;
    readonly transport: Kind | null;
    readonly problem: Problem | null;
    readonly end: End | null;
    /** Counts of this page: of a shared stream, `sent` and `acknowledged` are those of this tab. */
    readonly counters: Readonly<Counters>;
    readonly bufferedAmount: number;
    readonly ready: Promise<void>;
    readonly qan: Qan;
    onmessage: Listener<'message'> | null;
    ontransport: Listener<'transport'> | null;
    onstate: Listener<'state'> | null;
    onproblem: Listener<'problem'> | null;
    onend: Listener<'end'> | null;
    onrejoin: Listener<'rejoin'> | null;
    /** A shared stream carries text of version 2. */
    send(message: string): Promise<void>;
    reset(reason?: string): void;
    close(reason?: string): Promise<void>;
}
