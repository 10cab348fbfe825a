/**
 * How long transports live where something on the way cuts them after a fixed time: learnt from two that
 * died at the same age. So the next one is succeeded before that. Used by the stream machine.
 */
import type { Kind } from './types.js';

/** Transports that die younger, in ms, have other troubles. */
const YOUNGEST = 3_000;
/** Part of the learnt time that is used. */
const USED = 0.75;

export class Lifetimes {
  #deaths = new Map<Kind, number>();
  #limits = new Map<Kind, number>();

  /** One that worked was broken off at this age in ms. */
  onBroken(kind: Kind, age: number): void {
    if (age < YOUNGEST) return;
    const before = this.#deaths.get(kind);
    this.#deaths.set(kind, age);
    if (before === undefined || Math.abs(age - before) > 500 + before / 10) return;
    this.#limits.set(kind, USED * Math.min(age, before, this.limit(kind)));
  }

  /** ms after which one of this kind should be succeeded. */
  limit(kind: Kind): number {
    return this.#limits.get(kind) ?? Infinity;
  }

  /** The network is another one. */
  forget(): void {
    this.#deaths.clear();
    this.#limits.clear();
  }
}
