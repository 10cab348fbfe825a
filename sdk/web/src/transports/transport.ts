/** Interface between the driver and all transports, which carry frames and are independent of streams. */
import type { Refusal } from '../stream/refusal.js';
import type { OutFrame } from '../frames.js';
import type { TransportOutcome, Version } from '../stream/types.js';
import type { InFrame } from './reader.js';

/** Handle of an open transport, which reports to its `Listener` until its end or `close`. */
export interface TransportHandle {
  /** Writes frames; absent on HTTP transports, whose frames are passed at opening. */
  write?(frames: readonly OutFrame[]): void;
  /** Closes the transport; the listener receives nothing more. */
  close(): void;
}

/**
 * Receives frames, followed by the outcome if the transport ended with them, else `null`. No frames and `null` report
 * an open WebSocket with the selected version, or that a shared connection may replace an HTTP stream. `refusal` is the
 * cause of a failure, if known.
 */
export type Listener = (
  frames: readonly InFrame[],
  outcome: TransportOutcome | null,
  refusal?: Refusal,
  version?: Version,
) => void;
