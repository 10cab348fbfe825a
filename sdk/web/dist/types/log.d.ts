/** Console lines about problems: one per cause and service, as text and code. Used by the client. */
import type { Problem } from './stream/types.js';
/** Logs a problem unless the same cause is logged already. */
export declare function logProblem(problem: Problem | null, service: string): void;
