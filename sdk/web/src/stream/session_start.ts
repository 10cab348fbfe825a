/** Start of a generation of a session: a page load with the stored state of an earlier one. Used by the stream machine. */
import type { Message } from '../message.js';

/** Transport numbers of a generation begin at the generation times this. */
export const TRANSPORTS_PER_GENERATION = 2 ** 32;

/** Stored state with which a page takes a stream over; see section 10 of docs/protocol.md. */
export interface SessionStart {
  /** Number of the page load, from 1 on. */
  readonly generation: number;
  /** Key that replaces the resume key. */
  readonly next: string;
  readonly born: string | undefined;
  /** First message wanted. */
  readonly rewind: 'all' | 'new' | number;
  /** First own number that is not stored, and the unacknowledged own messages below. */
  readonly own: number;
  readonly restored: readonly (readonly [number, Message])[];
}
