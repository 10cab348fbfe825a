/**
 * Strings from the server: the window that puts them in order, and what the server was told of it.
 * Used by the stream machine.
 */
import { formatSack } from '../sack.js';
import { ReceiveWindow, type Received } from '../window/receive_window.js';
import { DelayedAck } from './delayed_ack.js';

/** Far above what a server holds for one client (1 MiB or 1,000 strings by default). */
const WINDOW = { strings: 16_384, bytes: 16 << 20 };

export class Receiver {
  /** When the server is told what this side has. */
  readonly patience = new DelayedAck();
  /** While the application is behind: nothing is handed out, and SACKs say no more than before. */
  #held = false;
  #window = new ReceiveWindow(WINDOW);
  /** The SACK text last shown to the server. */
  #shown = formatSack(this.#window.sack());

  /** `patient`: the SACK may wait, unless something is missing. */
  receive(number: number, text: string, patient: boolean, now: number): Received {
    const { hasGap } = this.#window;
    const received = this.#window.receive(number, text);
    if (patient && !hasGap && received === 'deliverable') this.patience.onString(text.length, now);
    // A duplicate is answered, too: the SACK for the first one may be lost.
    else if (received !== 'overflow') this.patience.at = 0;
    return received;
  }

  /** The next string for the application. */
  pop(): string | undefined {
    return this.#held ? undefined : this.#window.pop();
  }

  /** False: no change. */
  hold(held: boolean): boolean {
    if (held === this.#held) return false;
    this.#held = held;
    if (!held && formatSack(this.#window.sack()) !== this.#shown) this.patience.at = 0;
    return true;
  }

  /** The server does not know all that this side has, and may be told. */
  get mayAck(): boolean {
    return this.patience.at < Infinity && !this.#held;
  }

  /** The SACK text to show now. */
  takeSack(now = 0): string {
    if (!this.#held) this.#shown = formatSack(this.#window.sack());
    this.patience.onSack(now);
    return this.#shown;
  }
}
