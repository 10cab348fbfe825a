/**
 * Schedules uploads, the HTTP requests that carry client-to-server messages and SACKs while an HTTP transport is the
 * primary. One upload at a time, and at most two HTTP connections in total. Used by the stream machine.
 */
import type { OutFrame } from '../frames.js';
import type { TransportPolicy } from './transport_policy.js';
import type { ReliableChannel } from './reliable_channel.js';
import { SACK_TIMEOUT, SACK_TIMEOUT_PER_BYTE } from './in_flight.js';
import { RetryTimer } from './retry_timer.js';
import type { Transports } from './transports.js';
import type { Transport, TransportOutcome } from './types.js';

export class Uploads {
  /** Time of the next upload after failures. */
  readonly retry: RetryTimer;

  constructor(
    readonly transports: Transports,
    readonly channel: ReliableChannel,
    readonly policy: TransportPolicy,
    random: () => number,
  ) {
    this.retry = new RetryTimer(random);
  }

  /** Time at which messages, a SACK or a reset are due for an upload; Infinity if none is pending. */
  get dueAt(): number {
    const { carrier, primary, predecessor, upload } = this.transports;
    const http = carrier ? carrier.kind !== 'websocket' : this.policy.polling;
    if (upload || !http || !this.channel.created) return Infinity;
    // Messages sent with the hello are acknowledged on the primary.
    if (primary && primary.sackDueAt < Infinity) return Infinity;
    // At most two HTTP connections.
    if (primary && primary.kind !== 'websocket' && predecessor && predecessor.kind !== 'websocket') return Infinity;
    // A long-poll that delivered messages ends soon; the hello of the next one carries the SACK.
    const endsSoon = primary?.kind === 'long-poll' && primary.progress;
    const { hasUnacked, resetting, receiver, renewal } = this.channel;
    const ackDueAt = endsSoon || !carrier ? Infinity : receiver.ackDueAt;
    return Math.max(this.retry.nextAttemptAt, hasUnacked || resetting || (VERSION_3 && renewal.length > 0) ? 0 : ackDueAt);
  }

  /** Appends messages to the frames of a new upload and sets its deadline. */
  load(upload: Transport, frames: OutFrame[], now: number): void {
    frames.push(...this.channel.takeFrames(upload, now));
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    upload.deadline = now + 2 * SACK_TIMEOUT + bytes * SACK_TIMEOUT_PER_BYTE;
    this.transports.upload = upload;
  }

  /** Records the outcome; a failed upload is retried after a back-off, and its SACK is due again. */
  onClosed(upload: Transport, outcome: TransportOutcome, now: number): void {
    if (outcome !== 'ended') this.channel.receiver.delayedAck.dueAt = 0;
    // A complete response does not confirm a reset: a draining server ends uploads before reading them.
    const succeeded = outcome === 'ended' && (upload.progress || !upload.hasSent) && !upload.resetSent;
    if (succeeded) this.retry.onSuccess();
    else this.retry.onFailure(now);
  }
}
