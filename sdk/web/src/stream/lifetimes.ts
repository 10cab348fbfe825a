/**
 * How long transports live where something on the way cuts them after a fixed time: learnt from two that
 * died at the same age. So the next one is succeeded before that. Used by the stream machine.
 */
import type { Kind } from './types.js';

/** Transports that die younger, in ms, have other troubles. */
const MIN_CUT_AGE = 3_000;
/** Part of the learnt time that is used. */
const SAFE_FRACTION = 0.75;

export class Lifetimes {
  #deaths = new Map<Kind, number>();
  #limits = new Map<Kind, number>();

  /** One that worked was broken off at this age in ms. */
  onCut(kind: Kind, age: number): void {
    if (age < MIN_CUT_AGE) return;
    const before = this.#deaths.get(kind);
    this.#deaths.set(kind, age);
    if (before === undefined || Math.abs(age - before) > 500 + before / 10) return;
    this.#limits.set(kind, SAFE_FRACTION * Math.min(age, before, this.maxAge(kind)));
  }

  /** ms after which one of this kind should be succeeded. */
  maxAge(kind: Kind): number {
    return this.#limits.get(kind) ?? Infinity;
  }

  /** The network is another one. */
  clear(): void {
    this.#deaths.clear();
    this.#limits.clear();
  }
}
