/**
 * Messages between the tabs and the worker of a shared stream. Used by both sides. A tab numbers its sends from 0
 * (`of`); the worker numbers the messages of the stream (`at`).
 */
import type { State } from '../client.js';

/** Request of a tab: a message, a reset, an end behind all messages, a ping, the unload, or the answer to `alone` without a number. */
export type TabRequest =
  | { readonly of: number; readonly text: string }
  | { readonly reset: string }
  | { readonly close: string }
  | 'ping'
  | 'bye'
  | 'shared';

/** Events that every tab receives. */
export const EVENTS = ['message', 'state', 'transport', 'problem', 'end'] as const;

/** Notice of the worker. */
export type WorkerNotice =
  /** The first notice: id and state of the stream, and the number of the tab in the life of the worker. */
  | { readonly type: 'hello'; readonly id: string; readonly state: State; readonly seat: number }
  /** The stream cannot be opened in the worker. */
  | { readonly type: 'failed' }
  /** An event of the stream; messages have their number. `answers`: whether this tab answers a question. */
  | {
      readonly type: (typeof EVENTS)[number];
      readonly data: unknown;
      readonly state: State;
      readonly lastEventId?: string;
      readonly answers?: boolean;
    }
  /** The stream has numbered a message. */
  | { readonly type: 'queued'; readonly of: number; readonly at: number }
  /** The result of a send: null, or the reason for the rejection. */
  | { readonly type: 'sent'; readonly of: number; readonly problem: string | null }
  /** This tab is the only one, and its next message gets the number `at`; null: other tabs send as well. */
  | { readonly type: 'alone'; readonly at: number | null }
  | { readonly type: 'pong' };
