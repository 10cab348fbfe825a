// The calls of an instance, at most one per core: which streams have commands ready, and which core's claim to a partition is
// current. Tracks epochs, no stream state. Pure; used by the session only.
//
// Two cores may both claim a partition: the new owner, and a former owner whose events were in flight. The higher epoch wins,
// and events under a lower epoch are ignored. If the call with the higher epoch is lost, a late event and a store rollback
// cannot be distinguished: the call with the lower epoch is ended, and a new call settles the owner. The same applies if the
// call with the higher epoch leaves the partition.
import type { Long, Registered } from '../contract.js';
import { ContractError } from './errors.js';

/** Identifies a call; never reused. */
export type CallId = number;

/** Longest message of the protocol, in bytes. */
export const MAX_MESSAGE = 1_048_576;

/** Partition of a stream: the upper 16 bits of its number. */
export function partitionOf(stream: Long): number {
  return Number(BigInt(stream) >> 48n);
}

/** Limits and features of a core, from its registration. */
export interface CoreTraits {
  readonly maxMessage: number;
  readonly outboxMessages: number;
  readonly hasFinish: boolean;
  readonly hasSync: boolean;
  readonly hasKinds: boolean;
}

const NO_TRAITS: CoreTraits = {
  maxMessage: MAX_MESSAGE, outboxMessages: 2 ** 32 - 1, hasFinish: false, hasSync: false, hasKinds: false,
};

type Epochs = Map<number, bigint>;

/** One open call. */
class CallState {
  isRegistered = false;
  traits = NO_TRAITS;
  /** Attached streams with commands ready. A stream that has moved to another call is skipped. */
  ready: Long[] = [];
  /** The epoch of the last claim on this call, per partition that the core claims to own. */
  readonly announced: Epochs = new Map();
  /** Per partition, the highest epoch announced by other calls, before or after this call began. */
  readonly competing: Epochs = new Map();
  /** Epochs of the ignored claims on this call: another call had announced a higher one. */
  readonly ignored: Epochs = new Map();
}

/** The open calls of one instance. */
export class Calls {
  private readonly live = new Map<CallId, CallState>();
  private begun = 0;

  begin(): CallId {
    const call = new CallState();
    for (const other of this.live.values()) {
      for (const [partition, epoch] of other.announced) raise(call.competing, partition, epoch);
    }
    this.live.set(this.begun, call);
    return this.begun++;
  }

  end(id: CallId): void {
    this.live.delete(id);
  }

  onRegistered(id: CallId, registered: Registered): void {
    const call = this.live.get(id);
    if (!call) return;
    const { features, outbox_messages: outboxMessages, max_message_bytes: max } = registered;
    const [hasFinish, hasSync] = [features.includes('finish'), features.includes('sync')];
    const hasKinds = features.includes('message-kinds');
    call.isRegistered = true;
    call.traits = { maxMessage: Math.min(max, MAX_MESSAGE), outboxMessages, hasFinish, hasSync, hasKinds };
  }

  isRegistered(id: CallId): boolean {
    return this.live.get(id)?.isRegistered ?? false;
  }

  traits(id: CallId): CoreTraits {
    return this.live.get(id)?.traits ?? NO_TRAITS;
  }

  /**
   * Applies a claim: the core of this call owns a partition under this epoch. Returns whether the claim is current. Throws
   * ContractError if a call that is lost by now has announced a higher epoch.
   */
  onAnnounced(id: CallId, partition: number, epoch: bigint): boolean {
    const call = this.live.get(id);
    if (!call) return false;
    if (epoch < (call.competing.get(partition) ?? 0n)) {
      call.ignored.set(partition, epoch);
      if (this.isAnnouncedAbove(partition, epoch)) return false;
      throw new ContractError('a partition was claimed under an older epoch than that of a lost call');
    }
    call.ignored.delete(partition);
    const before = call.announced.get(partition);
    call.announced.set(partition, epoch);
    // The claims of one core arrive in order, so a falling epoch means a store rollback.
    const fell = before !== undefined && epoch < before;
    for (const [other, { competing }] of this.live) {
      if (other === id) continue;
      if (fell) competing.set(partition, epoch);
      else raise(competing, partition, epoch);
    }
    return true;
  }

  /** The core of this call has left a partition. */
  onLeft(id: CallId, partition: number): void {
    const call = this.live.get(id);
    if (!call) return;
    call.announced.delete(partition);
    call.ignored.delete(partition);
    call.ready = call.ready.filter((stream) => partitionOf(stream) !== partition);
  }

  /** Calls with an ignored claim that may be the current one, because no call announces a higher epoch any more. */
  unsettled(): CallId[] {
    const isUnsettled = (call: CallState) =>
      [...call.ignored].some(([partition, epoch]) => !this.isAnnouncedAbove(partition, epoch));
    return [...this.live].filter(([, call]) => isUnsettled(call)).map(([id]) => id);
  }

  /** Whether another call has announced a higher epoch. Late events on this call are then expected. */
  isStale(id: CallId, partition: number): boolean {
    const call = this.live.get(id);
    return !call || (call.announced.get(partition) ?? 0n) < (call.competing.get(partition) ?? 0n);
  }

  /** Records that a stream has commands ready for this call. */
  pushReady(id: CallId, stream: Long): void {
    this.live.get(id)?.ready.push(stream);
  }

  /** Takes the next stream with commands ready, in turn. */
  popReady(id: CallId): Long | undefined {
    return this.live.get(id)?.ready.shift();
  }

  /** Whether a stream may have commands ready for this call. */
  hasReady(id: CallId): boolean {
    const call = this.live.get(id);
    return call !== undefined && call.isRegistered && call.ready.length > 0;
  }

  private isAnnouncedAbove(partition: number, epoch: bigint): boolean {
    return [...this.live.values()].some((call) => (call.announced.get(partition) ?? 0n) > epoch);
  }
}

function raise(epochs: Epochs, partition: number, epoch: bigint): void {
  if (epoch > (epochs.get(partition) ?? 0n)) epochs.set(partition, epoch);
}
