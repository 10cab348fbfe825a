/** Messages between the tabs and the worker that carries their HTTP transports. Used by both sides. */
import type { ChannelKind } from './schedule.js';

/**
 * Message of a tab. Channels are numbered by the tab. The build must not shorten the keys of messages, because the two
 * sides belong to different scripts.
 */
export type TabMessage =
  | {
      readonly open: number;
      readonly kind: ChannelKind;
      readonly url: string;
      /** Lines of frames. */
      readonly body: string;
    }
  | { readonly close: number }
  | 'ping'
  | 'bye';

/** Message of the worker: frames of a channel, its end, or an answer to a ping. */
export type WorkerMessage =
  | { readonly of: number; readonly lines: readonly string[] }
  /** `status` is an HTTP status, 0 after a network failure. `wait` is the `Retry-After` in seconds. */
  | { readonly of: number; readonly status: number; readonly wait: number }
  | 'pong'
  /** The server has no multiplexed exchanges. */
  | 'unsupported';

/** Name of the worker, with the version of these messages: tabs may have loaded the scripts of another release. */
export const MUX_NAME = 'minerva 1';
