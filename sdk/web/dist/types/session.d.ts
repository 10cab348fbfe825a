/**
 * Sessions: a stream outlives the page. A module of its own, which the client loads with the option `session`: finds and locks the
 * stored state, opens the stream with it, and stores the changes. The rules are in `session/state.ts`.
 */
import type { MinervaStream } from './client.js';
import type { SessionHost, SessionSettings } from './session/host.js';
/** Ends the stream of a session on the server, and deletes the stored state. `Stream` is the class of the client. */
export declare function forget(Stream: typeof MinervaStream, session: string, scope: 'tab' | 'origin'): Promise<void>;
/** Opens the session, and the stream with it. An invalid option ends the stream with the rule as the reason. */
export declare function openSession(settings: SessionSettings, host: SessionHost): Promise<void>;
