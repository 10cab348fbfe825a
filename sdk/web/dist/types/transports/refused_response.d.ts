/** Reads the refusal of an HTTP response. Used by the HTTP transports and the diagnosis. */
import { type Refusal } from '../stream/refusal.js';
/** Reads the text of a short response and classifies the refusal. */
export declare function readRefusal(response: Response): Promise<Refusal>;
