/**
 * Types shared by the stream machine, its parts and the driver: transport kinds, outputs of the machine, and the state
 * of one transport. The client re-exports `Kind`, `State`, `End` and `Counters`.
 */

import type { OutFrame } from '../frames.js';
import type { Message } from '../message.js';
import type { SessionStart } from './session_start.js';

/** Version of the wire protocol. */
export type Version = 2 | 3;

/** Kind of a transport that carries server-to-client messages. */
export type Kind = 'websocket' | 'http-stream' | 'long-poll';

/** All kinds, best first. */
export const KINDS: readonly Kind[] = ['websocket', 'http-stream', 'long-poll'];

/** Returns whether `a` ranks before `b`. */
export function isBetter(a: Kind, b: Kind): boolean {
  return KINDS.indexOf(a) < KINDS.indexOf(b);
}

/**
 * State of a stream; `MinervaStream.onstate` reports changes.
 *
 *     connecting ──first answer on a transport──> open <──answer on a transport──┐
 *         │                                        └──no transport left──> reconnecting
 *         └──────── reset by either side, stream_attach_failure ────────────> ended
 */
export type State = 'connecting' | 'open' | 'reconnecting' | 'ended';

/** Side effect for the driver to execute, in order. `key` identifies a transport. */
export type Output =
  /** Open a transport and write `frames` first. A WebSocket has none; its frames follow once the socket is open. */
  | {
      readonly do: 'open';
      readonly key: number;
      readonly kind: Kind | 'upload';
      readonly frames: readonly OutFrame[];
      /** Versions to offer: the first one is the version of `frames`. */
      readonly versions: readonly [Version, ...Version[]];
    }
  | { readonly do: 'write'; readonly key: number; readonly frames: readonly OutFrame[] }
  /** Close a transport; the machine expects no further input from that transport. */
  | { readonly do: 'close'; readonly key: number }
  /** Deliver a message to the application. */
  | { readonly do: 'deliver'; readonly message: Message; readonly number: number }
  /** The message with this number is durable on the server. */
  | { readonly do: 'acked'; readonly number: number }
  | { readonly do: 'state'; readonly state: State }
  /** The reason for which the stream is not open has changed; null for none. */
  | { readonly do: 'problem'; readonly problem: Problem | null }
  /** The server has accepted the stream, or a new generation of a session: first message that follows, first new own number. */
  | { readonly do: 'welcome'; readonly born: string; readonly from: number; readonly own: number }
  /** The stream has version 2, because the server has no version 3. */
  | { readonly do: 'fallback' }
  /** Call `getToken` of the page; `StreamMachine.onToken` takes the result. */
  | { readonly do: 'token' }
  /** Another kind carries the stream (null for none), and the reason. */
  | { readonly do: 'transport'; readonly kind: Kind | null; readonly why: string }
  | { readonly do: 'end'; readonly end: End };

/**
 * Reason for which a stream is not open, or, with `fallback`, for which a better kind of transport does not carry the open
 * stream; attempts continue.
 *
 *     stream.onproblem = ({ data }) => show(data && !data.fallback ? `${data.title}; next attempt in ${data.after} ms` : '');
 */
export interface Problem {
  /**
   * Refusal of the server: `origin`, `service`, `unserved`, `busy`, `hello`, `draining`, `unavailable`. Local causes:
   * `network`, `timeout`, `blocked` (by the browser), `proxy` (response of another server), `frame` (damaged response),
   * `version` (the server lacks the version that the queued messages need), `token` (`getToken` has failed).
   * Later versions may add codes.
   */
  readonly code: string;
  /** The reason as a sentence, for people. */
  readonly title: string;
  /** Time in ms from the report to the next attempt. */
  readonly after: number;
  /** Kind that carries the open stream: the problem is information. Absent while the stream is not open. */
  readonly fallback?: Kind;
}

/**
 * Cause of the end of a stream.
 *
 *     stream.onend = ({ data }) => show(`${data.by} ended the stream: ${data.reason}`);
 */
export interface End {
  /** Reason passed to `reset`, or a reason of the protocol such as `stream_attach_failure`. */
  readonly reason: string;
  /** True if an application on either side reset the stream; false if the protocol did. */
  readonly applicationLevel: boolean;
  /** Side that ended the stream. */
  readonly by: 'client' | 'server';
}

/** Result of a transport: completed in order, failed, or refused by a server that asks for a pause. */
export type TransportOutcome = 'ended' | 'failed' | 'unavailable';

/** State of one transport. All times are in ms. */
export interface Transport {
  /** Identifies the transport towards the driver. */
  readonly key: number;
  readonly kind: Kind | 'upload';
  /** Reason for opening, sent in the hello. */
  readonly why: string;
  /** Transport number of the hello; -1 before. */
  number: number;
  /** Time of the open request; for a WebSocket, replaced by the time at which the socket is open. */
  openedAt: number;
  /** The transport accepts writes. */
  opened: boolean;
  /** The server has answered on the transport; a repeated poll continues an answered one. */
  attached: boolean;
  /** The transport shows whether its kind works: a WebSocket beside HTTP, or an HTTP stream behind a poll. */
  probing: boolean;
  /** SACKs received on the transport that acknowledged new messages. */
  sacks: number;
  /** Time of the last received frames. */
  lastReceivedAt: number;
  /** Reason for replacing the transport; empty without one. */
  replaceReason: string;
  /** The transport may be dead; it stays in use until a successor works or fails. */
  suspect: boolean;
  /** The server announced the end of the transport; nothing more is written. */
  closing: boolean;
  /** The transport delivered a new message or acknowledged a sent one. */
  progress: boolean;
  /** Time at which the transport is dropped unless frames arrive. */
  deadline: number;
  /** Time by which a SACK for messages or a reset on the transport is expected; Infinity if none is. */
  sackDueAt: number;
  /** The transport has carried client-to-server messages. */
  hasSent: boolean;
  /** The hello asked for the creation of the stream and is unanswered. */
  mayCreate: boolean;
  /** Time from which further frames show that a late response is not buffered; Infinity if there is no doubt. */
  lateAt: number;
  /** The reset was written. */
  resetSent: boolean;
  /**
   * No unanswered hello with `new` preceded the hello. If a reset followed the hello, an attach failure proves that the
   * stream is over and that the server has no other reason.
   */
  asksReason: boolean;
  /** Number that the server assigns to the next sent message without a SeqNum frame. */
  nextOut: number;
  /** Number of the next message received on this transport. */
  nextIn: number;
  /** Claim tag of the next message; empty in version 2. */
  tag: string;
  /** Claim tags that the server has of this transport, as pairs `FIRST TAG`. */
  tags: readonly string[];
}

/** Counts since the start of a stream; see `MinervaStream.counters`. */
export interface Counters {
  /** Messages accepted by `send`. */
  sent: number;
  /** Sent messages that are durable on the server. */
  acknowledged: number;
  /** Messages delivered to the page. */
  received: number;
  /** Times that the stream lost all transports and found one again. */
  reconnects: number;
}

/** Parameters of a stream machine. */
export interface StreamOptions {
  /** Stream id. */
  readonly id: string;
  /** Proof of ownership in version 3: 22 base64url characters. */
  readonly resumeKey?: string;
  /** Version of the protocol; `auto` is version 3, or 2 if the server has no other. Default 2. */
  readonly version?: Version | 'auto' | undefined;
  /** Kind to use exclusively, or `auto` for the best one that works. */
  readonly kind: Kind | 'auto';
  /** Best kind of the previous session, if known. */
  readonly known?: Kind | undefined;
  /** Credentials for the application. */
  readonly cred?: string;
  /** Fetches credentials, for the first hello without `cred` and at the request of the server. The driver calls it. */
  readonly getToken?: () => string | Promise<string>;
  /** Heartbeat interval of the server in seconds. */
  readonly heartbeat?: number;
  /** Random numbers, uniform in [0, 1). */
  readonly random: () => number;
  /** Called right before an HTTP request; messages sent in the call share an upload. */
  readonly beforeUpload?: () => void;
  /** Takes the stream of an earlier page load over. */
  readonly session?: SessionStart | undefined;
}
