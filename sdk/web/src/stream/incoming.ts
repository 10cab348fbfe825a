/**
 * Strings from the server: the window that puts them in order, and what the server was told of it.
 * Used by the stream machine.
 */
import { formatSack } from '../sack.js';
import { ReceiveWindow, type Received } from '../window/receive_window.js';

/** Far above what a server holds for one client (1 MiB or 1,000 strings by default). */
const WINDOW = { strings: 16_384, bytes: 16 << 20 };

export class Incoming {
  /** The server does not know all that this side has. */
  sackDue = false;
  /** While the application is behind: nothing is handed out, and SACKs say no more than before. */
  #held = false;
  #window = new ReceiveWindow(WINDOW);
  /** The SACK text last shown to the server. */
  #shown = formatSack(this.#window.sack());

  receive(number: number, text: string): Received {
    const received = this.#window.receive(number, text);
    // A duplicate is answered, too: the SACK for the first one may be lost.
    if (received !== 'overflow') this.sackDue = true;
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
    this.sackDue ||= !held && formatSack(this.#window.sack()) !== this.#shown;
    return true;
  }

  /** A SACK is due and may be sent. */
  get mayAck(): boolean {
    return this.sackDue && !this.#held;
  }

  /** The SACK text to show now. */
  takeSack(): string {
    if (!this.#held) this.#shown = formatSack(this.#window.sack());
    this.sackDue = false;
    return this.#shown;
  }
}
