/**
 * Writes the hello, the first frame of every transport. Knows no stream state. Used by the stream
 * machine.
 */
/** Seconds of silence after which the server sends a heartbeat, unless the page says otherwise. */
export const DEFAULT_HEARTBEAT = 20;
/** Seconds a long-poll is held: below the minute at which many proxies give up. */
export const MAX_POLL_TIME = 50;

/** What a hello says; docs of each key: the protocol page, section Hello. What is undefined is not said. */
export interface Hello {
  readonly ver: 2;
  readonly tnum: number;
  readonly id: string;
  /** Make the stream if it does not exist: asked until a StreamCreated frame was seen. */
  readonly new: true | undefined;
  readonly ming: boolean;
  /** Seconds; 0: no heartbeats. */
  readonly maxia: number;
  /** Seconds within which this side says something. */
  readonly beat: number;
  /** SACK text: what the server is known to have. */
  readonly seenack: string;
  /** SACK text: what this side has. */
  readonly sack: string;
  /** Absent: an upload. Null or the number of the primary that this transport succeeds. */
  readonly eeds: number | null | undefined;
  /** Seconds. */
  readonly maxt: number | undefined;
  readonly cred: string | undefined;
  readonly why: string;
}

/** JSON that may be sent as a string: all in ASCII. */
export function toJson(value: unknown): string {
  const escape = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value).replace(/[\x7f-\uffff]/g, escape);
}
