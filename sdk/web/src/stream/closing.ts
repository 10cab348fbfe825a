/**
 * Closed and dropped transports: assigns the roles of the remaining ones, and reports the outcome to the transport policy
 * and the uploads. Used by the stream machine.
 */
import type { Opener, OpenerContext } from './opener.js';
import { local, type Refusal } from './refusal.js';
import type { Transport, TransportOutcome } from './types.js';

export class Closing {
  constructor(
    readonly context: OpenerContext,
    readonly opener: Opener,
    readonly onRefused: (transport: Transport, refusal: Refusal, now: number) => void,
  ) {}

  /** Drops a transport whose deadline has passed. */
  onDeadline(transport: Transport, now: number): void {
    const seconds = Math.round((now - transport.openedAt) / 1000);
    if (!transport.attached) this.onRefused(transport, local('timeout', `no response within ${seconds} s`), now);
    this.drop(transport, now);
  }

  /** Closes a transport and handles its end. */
  drop(transport: Transport, now: number, outcome: TransportOutcome = 'failed'): void {
    const { transports, outputs } = this.context;
    if (!transports.find(transport.key)) return;
    outputs.push({ do: 'close', key: transport.key });
    this.onClosed(transport, outcome, now);
  }

  /** Handles the end of a transport. */
  onClosed(transport: Transport, outcome: TransportOutcome, now: number): void {
    const { transports, channel, policy, connection } = this.context;
    const { candidate, predecessor, upload } = transports;
    transports.remove(transport);
    if (transport === upload) return this.opener.uploads.onClosed(transport, outcome, now);
    if (transport === predecessor) {
      // The server counts messages written to a predecessor as received until the next SACK.
      channel.receiver.delayedAck.dueAt = 0;
      if (predecessor && outcome === 'ended') connection.onHandover();
      return;
    }
    if (transport === candidate) policy.onFailed(transport, outcome, now);
    else this.#onPrimaryClosed(transport, outcome, now);
    // A suspect primary whose successor fails is dead.
    const { primary } = transports;
    if (outcome === 'failed' && primary?.suspect) this.drop(primary, now);
  }

  #onPrimaryClosed(transport: Transport, outcome: TransportOutcome, now: number): void {
    const { transports, channel, policy, connection } = this.context;
    const polled = outcome === 'ended' && transport.kind === 'long-poll';
    const { predecessor } = transports;
    // The server ends a transport for the one whose hello arrived last: the predecessor, if its hello was slow.
    if (predecessor && outcome === 'ended') connection.onHandover();
    if (!polled && predecessor?.attached && !predecessor.closing) {
      transports.primary = predecessor;
      transports.predecessor = null;
      channel.receiver.delayedAck.dueAt = 0;
    }
    policy.onPrimaryClosed(transport, outcome, now);
  }
}
