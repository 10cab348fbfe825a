/**
 * Remembers the transport kind that worked for an origin, in localStorage and for one day. Used by the driver.
 */
import { type Kind } from './stream/types.js';
/** Returns the stored kind for `url`; undefined without a valid entry. */
export declare function loadPreferredKind(url: string): Kind | undefined;
/** Stores the kind for `url`; failures are ignored. */
export declare function storePreferredKind(url: string, kind: Kind): void;
