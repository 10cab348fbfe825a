/**
 * The transports that a stream has at a time and the part each plays. Knows no frames. Used by the
 * stream machine.
 */
import type { Transport } from './types.js';
export declare class Transports {
    /** The newest transport that wants strings. */
    primary: Transport | null;
    /** The one it succeeds, still open: at most one. */
    previous: Transport | null;
    /** Carries own strings when the primary cannot. */
    upload: Transport | null;
    all(): Transport[];
    find(tnum: number): Transport | undefined;
    /** Takes a transport out; tells what it was. */
    remove(transport: Transport): 'primary' | 'previous' | 'upload' | null;
    /** The predecessor as long as it works. */
    get working(): Transport | null;
    /** Where own strings go: the newest transport that works, for want of one the newest. */
    get carrier(): Transport | null;
}
