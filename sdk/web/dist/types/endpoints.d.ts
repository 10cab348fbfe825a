/**
 * URLs of a service: selects the one for each new transport. If nothing answers at the present URL, the last resort of
 * each round of attempts tries the other ones in turn; the stream moves to the first that answers. Used by the driver.
 */
import type { Kind } from './stream/types.js';
export declare class Endpoints {
    #private;
    readonly bases: readonly URL[];
    /** Whether requests send the cookies of the user. */
    readonly credentials: RequestCredentials;
    /** Base of long HTTP requests beside the first URL. */
    readonly long: URL | null;
    /** `bases` may be empty: nothing is opened. */
    constructor(bases: readonly URL[], 
    /** Whether requests send the cookies of the user. */
    credentials?: RequestCredentials, 
    /** Base of long HTTP requests beside the first URL. */
    long?: URL | null);
    /** Selects the URL of a new transport. Nothing else works if `isAlone`; `isPinned` excludes other kinds. */
    next(kind: Kind | 'upload', isAlone: boolean, isPinned: boolean): number;
    /** Records an answer; returns true if the stream moves to another URL, which takes that nothing else works. */
    onAnswer(index: number, isAlone: boolean): boolean;
    /** URL for transports of a kind. */
    url(kind: Kind | 'upload', index?: number): string;
}
