/**
 * Strings from the server: the window that puts them in order, and what the server was told of it.
 * Used by the stream machine.
 */
import { formatSack } from '../sack.js';
import { ReceiveWindow, type Received } from '../window/receive_window.js';
import { DelayedAck } from './delayed_ack.js';

/** Far above what a server holds for one client (1 MiB or 1,000 strings by default). */
const WINDOW = { messages: 16_384, bytes: 16 << 20 };

export class Receiver {
  /** When the server is told what this side has. */
  readonly delayedAck = new DelayedAck();
  /** While the application is behind: nothing is handed out, and SACKs say no more than before. */
  #paused = false;
  #window = new ReceiveWindow(WINDOW);
  /** The SACK text last shown to the server. */
  #lastSent = formatSack(this.#window.sack());

  /** `patient`: the SACK may wait, unless something is missing. */
  receive(number: number, text: string, patient: boolean, now: number): Received {
    const { hasGap } = this.#window;
    const received = this.#window.receive(number, text);
    if (patient && !hasGap && received === 'deliverable') this.delayedAck.onReceived(text.length, now);
    // A duplicate is answered, too: the SACK for the first one may be lost.
    else if (received !== 'overflow') this.delayedAck.dueAt = 0;
    return received;
  }

  /** The next string for the application. */
  pop(): string | undefined {
    return this.#paused ? undefined : this.#window.pop();
  }

  /** False: no change. */
  setPaused(paused: boolean): boolean {
    if (paused === this.#paused) return false;
    this.#paused = paused;
    if (!paused && formatSack(this.#window.sack()) !== this.#lastSent) this.delayedAck.dueAt = 0;
    return true;
  }

  /** The server does not know all that this side has, and may be told. */
  get mayAck(): boolean {
    return this.delayedAck.dueAt < Infinity && !this.#paused;
  }

  /** The SACK text to show now. */
  takeSack(now = 0): string {
    if (!this.#paused) this.#lastSent = formatSack(this.#window.sack());
    this.delayedAck.onSackSent(now);
    return this.#lastSent;
  }
}
