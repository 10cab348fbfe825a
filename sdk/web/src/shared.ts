/**
 * One stream shared by all tabs of an origin, owned by a SharedWorker (`shared_worker.ts`): adds `shared` to the global
 * object of `client.js`. The handle of a tab is in `shared/stream.ts`.
 */
import type { MinervaOptions, MinervaStream } from './client.js';
import { SharedStream } from './shared/stream.js';

export { SharedStream };

/** The worker is beside this script. */
const script = (globalThis.document?.currentScript as HTMLScriptElement | null)?.src ?? '';

/**
 * Returns the stream shared by all tabs of this origin that pass the same `url` and `options`. Requires `client.js`.
 * Throws `MinervaError` for invalid options. Without SharedWorker, a stream of this tab alone is returned.
 *
 *     const stream = Minerva.shared('/_minerva/', { heartbeat: 10 });
 */
export function shared(url: string | URL = '/_minerva/', options: MinervaOptions = {}): SharedStream | MinervaStream {
  const base = Minerva.check(url, options);
  const name = JSON.stringify({ url: base, options });
  try {
    return new SharedStream(() => new SharedWorker(new URL('shared_worker.js', script), { name }), base, options);
  } catch {
    // No shared workers, or a script of another origin.
    return new Minerva.MinervaStream(base, options);
  }
}

if (globalThis.document) Minerva.shared = shared;
