/**
 * When an upload is due: one at a time, never a third HTTP connection, none for what goes another way. Used
 * by the stream machine.
 */
import type { TransportPolicy } from './transport_policy.js';
import type { ReliableChannel } from './reliable_channel.js';
import { ANSWER, PER_BYTE } from './in_flight.js';
import { RetryTimer } from './retry_timer.js';
import type { Transports } from './transports.js';
import type { TransportOutcome, Transport } from './types.js';

export class Uploads {
  readonly retry: RetryTimer;

  constructor(
    readonly transports: Transports,
    readonly dialogue: ReliableChannel,
    readonly course: TransportPolicy,
    random: () => number,
  ) {
    this.retry = new RetryTimer(random);
  }

  /** There is something to upload, as soon as `retry` allows it. */
  get due(): boolean {
    const { carrier, primary, previous, upload } = this.transports;
    const http = carrier ? carrier.kind !== 'websocket' : this.course.polling;
    if (upload || !http || !this.dialogue.created) return false;
    // What went along with the hello is answered on the primary.
    if (primary && this.dialogue.dueOn(primary) < Infinity) return false;
    // Two HTTP connections at most.
    if (primary && primary.kind !== 'websocket' && previous && previous.kind !== 'websocket') return false;
    // A long-poll that has brought something is about to end, and the next one brings the SACK.
    const soon = primary?.kind === 'long-poll' && primary.progress;
    return this.dialogue.waits || (this.dialogue.incoming.mayAck && !soon && carrier !== null);
  }

  /** Adds own strings to the frames of an upload that begins. */
  load(upload: Transport, frames: string[], now: number): void {
    frames.push(...this.dialogue.take(upload, now));
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    upload.deadline = now + 2 * ANSWER + bytes * PER_BYTE;
    this.transports.upload = upload;
  }

  onGone(upload: Transport, ending: TransportOutcome, now: number): void {
    if (ending !== 'ended') this.dialogue.incoming.patience.at = 0;
    const fine = ending === 'ended' && (upload.progress || !upload.carried);
    if (fine) this.retry.onSuccess();
    else this.retry.onFailure(now);
  }
}
