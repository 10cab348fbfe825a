/** Remembers for the origin which kind of transport worked, for a day. Used by the driver. */
import { type Kind } from './stream/types.js';
/** What worked the last time; undefined: nothing is known. */
export declare function recall(url: string): Kind | undefined;
export declare function remember(url: string, kind: Kind): void;
