/**
 * One stream shared by all tabs of an origin, owned by a SharedWorker (`shared_worker.ts`): adds `shared` to the global
 * object of `client.js`. The handle of a tab is in `shared/stream.ts`.
 */
import type { MinervaOptions, MinervaStream } from './client.js';
import { SharedStream } from './shared/stream.js';
export { SharedStream };
/**
 * Returns the stream shared by all tabs of this origin that pass the same `url` and `options`. Requires `client.js`.
 * Throws `MinervaError` for invalid options. Without SharedWorker, a stream of this tab alone is returned.
 *
 *     const stream = Minerva.shared('/_minerva/', { heartbeat: 10 });
 */
export declare function shared(url?: string | URL, options?: MinervaOptions): SharedStream | MinervaStream;
