/**
 * Learns after which age intermediaries cut transports of a kind: two cuts at about the same age set a limit, and the
 * next transport is replaced before that age. Used by the transport policy.
 */
import type { Kind } from './types.js';

/** Cuts at a lower age in ms are ordinary failures. */
const MIN_CUT_AGE = 3_000;
/** Fraction of the learned age at which a transport is replaced. */
const SAFE_FRACTION = 0.75;

export class Lifetimes {
  /** Age in ms of the last cut, by kind. */
  #cutAges = new Map<Kind, number>();
  #limits = new Map<Kind, number>();

  /** Records that an attached transport was cut at this age in ms. */
  onCut(kind: Kind, age: number): void {
    if (age < MIN_CUT_AGE) return;
    const before = this.#cutAges.get(kind);
    this.#cutAges.set(kind, age);
    if (before === undefined || Math.abs(age - before) > 500 + before / 10) return;
    this.#limits.set(kind, SAFE_FRACTION * Math.min(age, before, this.maxAge(kind)));
  }

  /** Returns the age in ms at which a transport of this kind should be replaced; Infinity without a limit. */
  maxAge(kind: Kind): number {
    return this.#limits.get(kind) ?? Infinity;
  }

  /** Forgets all limits, after a change of the network. */
  clear(): void {
    this.#cutAges.clear();
    this.#limits.clear();
  }
}
