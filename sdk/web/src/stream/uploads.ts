/**
 * When an upload is due: one at a time, never a third HTTP connection, none for what goes another way. Used
 * by the stream machine.
 */
import type { TransportPolicy } from './transport_policy.js';
import type { ReliableChannel } from './reliable_channel.js';
import { SACK_TIMEOUT, SACK_TIMEOUT_PER_BYTE } from './in_flight.js';
import { RetryTimer } from './retry_timer.js';
import type { Transports } from './transports.js';
import type { TransportOutcome, Transport } from './types.js';

export class Uploads {
  readonly retry: RetryTimer;

  constructor(
    readonly transports: Transports,
    readonly channel: ReliableChannel,
    readonly policy: TransportPolicy,
    random: () => number,
  ) {
    this.retry = new RetryTimer(random);
  }

  /** There is something to upload, as soon as `retry` allows it. */
  get isDue(): boolean {
    const { carrier, primary, predecessor, upload } = this.transports;
    const http = carrier ? carrier.kind !== 'websocket' : this.policy.polling;
    if (upload || !http || !this.channel.created) return false;
    // What went along with the hello is answered on the primary.
    if (primary && this.channel.sackDueAt(primary) < Infinity) return false;
    // Two HTTP connections at most.
    if (primary && primary.kind !== 'websocket' && predecessor && predecessor.kind !== 'websocket') return false;
    // A long-poll that has brought something is about to end, and the next one brings the SACK.
    const soon = primary?.kind === 'long-poll' && primary.progress;
    return this.channel.hasUnacked || (this.channel.receiver.mayAck && !soon && carrier !== null);
  }

  /** Adds own strings to the frames of an upload that begins. */
  load(upload: Transport, frames: string[], now: number): void {
    frames.push(...this.channel.takeFrames(upload, now));
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    upload.deadline = now + 2 * SACK_TIMEOUT + bytes * SACK_TIMEOUT_PER_BYTE;
    this.transports.upload = upload;
  }

  onClosed(upload: Transport, outcome: TransportOutcome, now: number): void {
    if (outcome !== 'ended') this.channel.receiver.delayedAck.dueAt = 0;
    const fine = outcome === 'ended' && (upload.progress || !upload.hasSent);
    if (fine) this.retry.onSuccess();
    else this.retry.onFailure(now);
  }
}
