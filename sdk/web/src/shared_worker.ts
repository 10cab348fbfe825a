/** Script of the shared worker that owns a stream shared by all tabs of an origin. */
import { serveSharedStream } from './shared/worker.js';

serveSharedStream(globalThis as unknown as { name: string; onconnect: unknown });
