/** Remembers for the origin which kind of transport worked, for a day. Used by the driver. */
import { type Kind } from './stream/types.js';
/** What worked the last time; undefined: nothing is known. */
export declare function loadPreferredKind(url: string): Kind | undefined;
export declare function storePreferredKind(url: string, kind: Kind): void;
