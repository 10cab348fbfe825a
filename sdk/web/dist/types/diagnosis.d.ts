/**
 * Diagnosis of requests that failed without a readable response: browsers report a refused certificate, an unknown name,
 * a stopped server and a missing CORS header alike. Two small requests distinguish these causes. Used by the driver.
 */
import { type Refusal } from './stream/refusal.js';
/** Returns the cause of failing requests to `url`; null if the requests of the diagnosis do not fail. */
export declare function diagnose(url: string, credentials: RequestCredentials): Promise<Refusal | null>;
