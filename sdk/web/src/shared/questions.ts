/**
 * Numbers of questions in a shared stream: each tab numbers its questions from 1, and the stream adds the seat of the tab, so
 * that an answer belongs to one tab. Pure. Used by the tab.
 */

/** Questions of one seat. */
const PER_SEAT = 2 ** 32;

/** Adds the seat to the number of a question or its cancellation; other messages are unchanged. */
export function toStream(message: string, seat: number): string {
  return message.replace(/(^|\|)(\d+)(Q|C)$/, (_, bar: string, number: string, kind: string) => bar + (seat * PER_SEAT + Number(number)) + kind);
}

/**
 * Returns a received message with the number of the tab; null for an answer to another tab, and for a question if another tab
 * answers. Cancellations are for the tab that has the question.
 */
export function fromStream(message: string, seat: number, answers: boolean): string | null {
  const [end, number, kind] = /\|(\d+)([QKEU])$/.exec(message) ?? [];
  if (end === undefined) return message;
  if (kind === 'Q') return answers ? message : null;
  const own = Number(number) - seat * PER_SEAT;
  return own > 0 && own < PER_SEAT ? `${message.slice(0, -end.length)}|${own}${kind}` : null;
}
