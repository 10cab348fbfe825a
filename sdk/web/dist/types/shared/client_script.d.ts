/** The global object of `client.js`, which `shared.js` requires, and checks that need its classes. Used by the tab. */
import type * as Client from '../client.js';
import type { MinervaOptions, Problem } from '../client.js';
declare global {
    const Minerva: Pick<typeof Client, 'MinervaStream' | 'MinervaError' | 'Qan' | 'toJson'> & {
        check: (url: string | URL, options: MinervaOptions) => URL;
        logProblem: (problem: Problem | null, service: string) => void;
        shared: unknown;
    };
}
/** Throws unless the stream can end with this reason. */
export declare function checkReason(reason: string): void;
/** Uploads frames of a stream in a request that outlives the page; `creates`: unless the stream exists, with these keys. */
export declare function uploadFrames(url: URL, options: MinervaOptions, id: string, creates: object, frames: readonly string[]): void;
