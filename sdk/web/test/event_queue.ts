/** Events of a simulation in virtual time, in the order of their times and, at the same time, of their creation. */
export class EventQueue {
  #events: { readonly at: number; readonly run: () => void }[] = [];

  push(at: number, run: () => void): void {
    this.#events.push({ at, run });
  }

  /** Time of the next event; Infinity without one. */
  get nextAt(): number {
    return this.#events.reduce((least, { at }) => Math.min(least, at), Infinity);
  }

  /** Removes the next event and runs it. */
  runNext(): void {
    const { nextAt } = this;
    const index = this.#events.findIndex(({ at }) => at === nextAt);
    for (const event of this.#events.splice(index, 1)) event.run();
  }
}
