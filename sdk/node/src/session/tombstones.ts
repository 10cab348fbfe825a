// Tombstones of ended streams. If the acknowledgement of an end is lost with the call, the core delivers the stream again.
// Pure; used by the session only.
import type { Long } from '../contract.js';
import { type CallId, partitionOf } from './calls.js';

/** Most tombstones: only acknowledgements in flight at the loss of a call matter. */
const MAX_TOMBSTONES = 4096;

/** The call that serves a stream, and the epoch of the owner of the stream's partition. */
export interface Attachment {
  readonly call: CallId;
  readonly epoch: bigint;
}

export function isSame(one: Attachment | null, other: Attachment): boolean {
  return one !== null && one.call === other.call && one.epoch === other.epoch;
}

/** The ended streams, the oldest first, with the attachment of the acknowledged end; null once that may be lost. */
export class Tombstones {
  private readonly streams = new Map<Long, Attachment | null>();

  insert(stream: Long, attachment: Attachment | null): void {
    this.streams.delete(stream);
    const [oldest] = this.streams.keys();
    if (this.streams.size === MAX_TOMBSTONES && oldest !== undefined) this.streams.delete(oldest);
    this.streams.set(stream, attachment);
  }

  /** Removes a stream and returns whether the stream was present. */
  remove(stream: Long): boolean {
    return this.streams.delete(stream);
  }

  has(stream: Long): boolean {
    return this.streams.has(stream);
  }

  /** Removes the streams of a partition that the owner, attached as given, did not start. */
  retain(partition: number, attachment: Attachment): void {
    for (const [stream, at] of this.streams) {
      if (partitionOf(stream) === partition && !isSame(at, attachment)) this.streams.delete(stream);
    }
  }

  /** Detaches the streams of one partition, or of all, from a call. */
  detach(call: CallId, left: number | null): void {
    for (const [stream, at] of this.streams) {
      if (at?.call === call && (left === null || left === partitionOf(stream))) this.streams.set(stream, null);
    }
  }

  /** Whether the stream is present and attached to no call but `call`. */
  isFreeFor(stream: Long, call: CallId): boolean {
    const at = this.streams.get(stream);
    return at !== undefined && (at === null || at.call === call);
  }

  /** The streams attached to no call. */
  detached(): Long[] {
    return [...this.streams].filter(([, at]) => at === null).map(([stream]) => stream);
  }
}
