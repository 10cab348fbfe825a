/**
 * SACK codec. `3,4|1` acknowledges the messages up to 1, and 3 and 4. Independent of queues and transports. Used by
 * the frame codec and both windows.
 */
import { parseNumber } from './numbers.js';

/** Set of acknowledged messages: all numbers up to `acked` (-1 for none) and the ones listed in `beyond`. */
export interface Sack {
  readonly acked: number;
  readonly beyond: readonly number[];
}

/** Longest accepted `beyond` list. Windows are far smaller, so a longer list is an attack or a defect. */
export const MAX_BEYOND = 4096;

/** Parses a SACK text, keeping order and repetitions of the list; null if malformed. */
export function parseSack(text: string): Sack | null {
  const [list = '', end = '', ...more] = text.split('|');
  const acked = end === '-1' ? -1 : parseNumber(end);
  const beyond = list === '' ? [] : list.split(',').map(parseNumber);
  if (acked === null || more.length > 0 || beyond.length > MAX_BEYOND || beyond.includes(null)) return null;
  return { acked, beyond: beyond as number[] };
}

/** Formats a SACK for frames and hellos. */
export function formatSack(sack: Sack): string {
  return `${sack.beyond.join(',')}|${sack.acked}`;
}
