/**
 * Interface between the client and the module for sessions, which are separate scripts: the build must not shorten these names.
 */
import type { Message } from '../message.js';
import type { SessionStart } from '../stream/session_start.js';

/** A message without a number: the session is not open, or the server has not accepted the generation. */
export interface Held {
  readonly message: Message;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** An own message of an earlier page load whose fate the server cannot report any more. */
export interface Unsent {
  readonly message: Message;
  /** The message was written to a transport: the application may have received it. */
  readonly maybeDelivered: boolean;
}

/**
 * Data of a `rejoin` event.
 *
 *     stream.onrejoin = ({ data }) => {
 *       if (!data.complete) clear(); // the application sends a snapshot
 *       for (const { message } of data.unsent) offerAgain(message);
 *     };
 */
export interface Rejoin {
  /** Number of the page load in the life of the stream; 0 for a new stream. */
  readonly generation: number;
  /** Number of the first message that follows. */
  readonly from: number;
  /** Every message that `rewind` asked for follows. */
  readonly complete: boolean;
  /** The stream of the earlier page is over, and a new one begins. */
  readonly fresh: boolean;
  /** Own messages that are not sent again, because the stream is over. */
  readonly unsent: readonly Unsent[];
}

/** Client, as the module sees it. */
export interface SessionHost {
  /** Messages without a number, in order. */
  readonly waiting: Held[];
  /** Calls `hooks` from now on. */
  attach(hooks: SessionHooks): void;
  /** Opens a stream; without `start` a new one, which numbers the waiting messages. */
  open(id: string, resumeKey: string, start?: SessionStart): void;
  /** Numbers the held messages; later ones are not held. */
  release(): void;
  rejoin(data: Rejoin): void;
  /** Ends the stream for the page. */
  giveUp(reason: string): void;
}

/** Module, as the client sees it. */
export interface SessionHooks {
  readonly stored: boolean;
  storeHeld(message: Message): void;
  storeSent(number: number, message: Message): void;
  freeSent(number: number): void;
  /** The page has received all messages below. */
  moveTo(position: number): void;
  /** The server has accepted the stream or the generation. */
  begin(born: string, from: number, own: number): void;
  /** Handles the end of the stream; true if another stream follows. */
  end(reason: string): boolean;
}

/** Options of a stream that concern the session. */
export interface SessionSettings {
  readonly session: string;
  readonly scope: 'tab' | 'origin' | undefined;
  readonly busy: 'new' | 'wait' | 'steal' | undefined;
  readonly rewind: 'all' | 'unseen' | 'new' | number | undefined;
  readonly url: string;
}
