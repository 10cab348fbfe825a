/**
 * SACK texts (`3,4|1`): which strings one side has. Knows nothing of queues or transports.
 * Used by the frame codec and both windows.
 */
import { parseNumber } from './numbers.js';

/** All strings up to `acked` (-1: none) and those listed in `beyond`. */
export interface Sack {
  readonly acked: number;
  readonly beyond: readonly number[];
}

/** Nothing received yet. */
export const NONE: Sack = { acked: -1, beyond: [] };

/** A window holds far fewer; a longer list is an attack or a defect. */
export const MAX_BEYOND = 4096;

/** Reads a SACK text; order and repeats in the list are kept. Null: malformed. */
export function parseSack(text: string): Sack | null {
  const bar = text.indexOf('|');
  if (bar < 0) return null;
  const end = text.slice(bar + 1);
  const acked = end === '-1' ? -1 : parseNumber(end);
  if (acked === null) return null;
  const beyond: number[] = [];
  if (bar > 0) {
    for (const part of text.slice(0, bar).split(',')) {
      const number = parseNumber(part);
      if (number === null || beyond.length === MAX_BEYOND) return null;
      beyond.push(number);
    }
  }
  return { acked, beyond };
}

/** Writes a SACK as it stands in frames and hellos. */
export function formatSack(sack: Sack): string {
  return `${sack.beyond.join(',')}|${sack.acked}`;
}
