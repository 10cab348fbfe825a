/**
 * Writes the hello, the first frame of every transport. Knows no stream state. Used by the stream
 * machine.
 */

/** What a hello says; docs of each key: the protocol page, section Hello. */
export interface Hello {
  readonly tnum: number;
  readonly id: string;
  /** Make the stream if it does not exist: asked until a StreamCreated frame was seen. */
  readonly isNew: boolean;
  readonly ming: boolean;
  /** Seconds; 0: no heartbeats. */
  readonly maxia: number;
  /** SACK text: what the server is known to have. */
  readonly seenack: string;
  /** SACK text: what this side has. */
  readonly sack: string;
  /** Absent: an upload. Null or the number of the primary that this transport succeeds. */
  readonly eeds?: number | null;
  /** Seconds. */
  readonly maxt?: number;
  readonly cred?: string;
  readonly why?: string;
}

/** The JSON text of a hello, in ASCII. */
export function helloToJson(hello: Hello): string {
  const { isNew, ...rest } = hello;
  const json = JSON.stringify({ ver: 2, ...rest, ...(isNew ? { new: true } : {}) });
  return json.replace(/[\x7f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
