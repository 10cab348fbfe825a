/**
 * Learns when intermediaries cut transports of a kind. Two cuts after about the same silence lower the heartbeat
 * interval; two cuts at about the same age set a limit, before which the next transport is replaced. Used by the
 * transport policy.
 */
import type { Kind } from './types.js';

/** Cuts at a lower age in ms are ordinary failures. */
const MIN_CUT_AGE = 3_000;
/** Silence in ms from which a cut may be due to the silence. */
const MIN_SILENCE = 2_500;
/** Fraction of the learned age at which a transport is replaced. */
const SAFE_FRACTION = 0.75;
/** Heartbeats within the learned silence; one may be late. */
const HEARTBEATS = 2;

/** Age of a transport and the silence of the server before a cut, in ms. */
interface Cut {
  readonly age: number;
  readonly silence: number;
}

export class Lifetimes {
  /** The last cut, by kind. */
  #cuts = new Map<Kind, Cut>();
  #limits = new Map<Kind, number>();
  /** Longest heartbeat interval that prevents cuts, in ms and a multiple of 1 s; Infinity without a limit. */
  maxHeartbeat = Infinity;

  /** Records that an attached transport was cut at this age in ms, after `silence` ms without frames of the server. */
  onCut(kind: Kind, age: number, silence: number): void {
    if (age < MIN_CUT_AGE) return;
    const before = this.#cuts.get(kind);
    this.#cuts.set(kind, { age, silence });
    if (!before) return;
    // Long-polls have no heartbeats.
    if (kind !== 'long-poll' && silence >= MIN_SILENCE && isNear(silence, before.silence)) {
      this.maxHeartbeat = 1000 * Math.floor(Math.min(silence, before.silence) / HEARTBEATS / 1000);
    } else if (isNear(age, before.age)) {
      // Heartbeats did not prevent the cut, so silence is not the cause.
      this.maxHeartbeat = Infinity;
      this.#limits.set(kind, SAFE_FRACTION * Math.min(age, before.age, this.maxAge(kind)));
    }
  }

  /** Returns the age in ms at which a transport of this kind should be replaced; Infinity without a limit. */
  maxAge(kind: Kind): number {
    return this.#limits.get(kind) ?? Infinity;
  }

  /** Forgets all limits, after a change of the network. */
  clear(): void {
    this.#cuts.clear();
    this.#limits.clear();
    this.maxHeartbeat = Infinity;
  }
}

function isNear(value: number, before: number): boolean {
  return Math.abs(value - before) <= 500 + before / 10;
}
