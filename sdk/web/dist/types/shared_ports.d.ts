/** Messages between the tabs and the worker of a shared stream. Used by both sides. */
import type { State } from './client.js';
/** Request of a tab to the worker: send, reset, or detach. */
export type TabRequest = {
    readonly number: number;
    readonly text: string;
} | {
    readonly reset: string;
} | {
    readonly bye: true;
};
/** Notice of the worker to a tab: an event of the stream, the result of a `send`, or the failure to open a stream. */
export type WorkerNotice = {
    readonly type: 'message' | 'state' | 'transport' | 'end';
    readonly data: unknown;
    readonly state: State;
} | {
    readonly type: 'failed';
    readonly reason: string;
} | {
    readonly type: 'sent';
    readonly number: number;
    readonly problem: string | null;
};
