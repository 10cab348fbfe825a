/**
 * Numbers of questions in a shared stream: each tab numbers its questions from 1, and the stream adds the seat of the tab, so
 * that an answer belongs to one tab. Pure. Used by the tab.
 */
/** Adds the seat to the number of a question or its cancellation; other messages are unchanged. */
export declare function toStream(message: string, seat: number): string;
/**
 * Returns a received message with the number of the tab; null for an answer to another tab, and for a question if another tab
 * answers. Cancellations are for the tab that has the question.
 */
export declare function fromStream(message: string, seat: number, answers: boolean): string | null;
