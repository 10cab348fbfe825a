import type { ChannelKind } from '../mux/schedule.js';
import type { Listener, TransportHandle } from './transport.js';
/** Opens an HTTP transport, over the worker if possible. */
export declare function openMultiplexed(url: string, frames: readonly string[], listener: Listener, kind: ChannelKind, credentials: RequestCredentials): TransportHandle;
