// Pairs each answer of a stream with the answered event, so that the core takes answer and acknowledgement in one step.
// Pure; owned by the stream.

/** The unconfirmed answers of one stream; at most one per queued message. */
export class Answers {
  /** Number of the message and of the answered event, in message order. */
  private queue: { number: number; event: number }[] = [];

  push(number: number, event: number): void {
    this.queue.push({ number, event });
  }

  /**
   * Number of the first message that must wait: the event was not delivered on this attachment, so the core would ignore the
   * acknowledgement. Events below `delivered` can be acknowledged.
   */
  limit(delivered: number): number {
    return this.queue.find(({ event }) => event >= delivered)?.number ?? Infinity;
  }

  /** All events below the result are acknowledged once the core has taken all messages below `end`. */
  acknowledgedAt(end: number): number {
    const taken = this.queue.filter(({ number }) => number < end);
    return taken.reduce((below, { event }) => Math.max(below, event + 1), 0);
  }

  /** Removes the answers below `confirmed`, which are durable. */
  free(confirmed: number): void {
    const first = this.queue.findIndex(({ number }) => number >= confirmed);
    this.queue = first < 0 ? [] : this.queue.slice(first);
  }
}
