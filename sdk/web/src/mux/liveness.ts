/**
 * Detects the end of a shared worker, which browsers and systems kill without an event: the worker answers pings. Pure.
 * Used by both kinds of ports of a tab.
 */

/** Time in ms between two pings. */
export const PING_INTERVAL = 900;
/** Ticks without a message after which the worker counts as dead. */
const MAX_MISSES = 4;

export class Liveness {
  #tickAt: number;
  #misses = 0;
  #heard = true;

  constructor(now: number) {
    this.#tickAt = now;
  }

  /** Records a message of the worker. */
  onMessage(): void {
    this.#heard = true;
  }

  /** Called every `PING_INTERVAL`; returns false if the worker is dead, else a ping is due. */
  tick(now: number): boolean {
    // Timers of hidden tabs are delayed up to a minute, and those of frozen ones without a limit: their messages may
    // be delayed as well, so one delayed tick is no evidence.
    const delayed = now - this.#tickAt > 2 * PING_INTERVAL;
    this.#tickAt = now;
    this.#misses = this.#heard ? 0 : this.#misses + (delayed ? MAX_MISSES / 2 : 1);
    this.#heard = false;
    return this.#misses < MAX_MISSES;
  }
}
