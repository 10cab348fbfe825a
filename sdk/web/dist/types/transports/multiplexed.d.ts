/**
 * HTTP transports over the shared worker of the origin: all tabs share few connections, because browsers open six per
 * host with HTTP/1.1. `mux/tab.ts`, loaded with the first such transport, connects this page to the worker. Where no
 * worker can carry them, or it dies, transports have connections of their own. Used by the driver.
 */
import type { OutFrame } from '../frames.js';
import type { ChannelKind } from '../mux/schedule.js';
import type { Version } from '../stream/types.js';
import type { Listener, TransportHandle } from './transport.js';
/** Opens an HTTP transport, over the worker if possible: requests of version 3 are not shared. */
export declare function openMultiplexed(url: string, version: Version, frames: readonly OutFrame[], listener: Listener, kind: ChannelKind, credentials: RequestCredentials): TransportHandle;
