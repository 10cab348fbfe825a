/**
 * Format of multiplexed exchanges, one HTTP request for the transports of several streams: see docs/protocol.md. Pure.
 * Used by the schedule and the shared worker.
 */

/** When the response of a request ends: with its last channel, or shortly after the first one. */
export type Mode = 'stream' | 'poll';

/** One transport of a request. */
export interface Part {
  readonly channel: number;
  /** Name in the URL of the service; empty for the default service. */
  readonly service: string;
  /** Lines of frames, in the characters 0x00-0x7F. */
  readonly body: string;
}

/** Bytes of one channel, or the end of a channel with its HTTP status and `Retry-After` in seconds. */
export type ChannelEvent =
  | { readonly channel: number; readonly data: string }
  | { readonly channel: number; readonly status: number; readonly wait: number };

/** Returns the body of a request. */
export function encodeParts(mode: Mode, parts: readonly Part[]): string {
  const texts = parts.map(({ channel, service, body }) => `${channel} ${body.length}${service && ` ${service}`}\n${body}`);
  return `${mode}\n${texts.join('')}`;
}

/** Incremental parser of a response in Latin-1. */
export class ResponseParser {
  /** True after malformed input; later input is ignored. */
  corrupt = false;
  #line = '';
  #channel = 0;
  /** Bytes of the current piece that are still expected. */
  #left = 0;

  /** Appends text and returns the events. Check `corrupt` afterwards. */
  push(text: string): ChannelEvent[] {
    const events: ChannelEvent[] = [];
    for (let at = 0; at < text.length && !this.corrupt; ) {
      if (this.#left > 0) {
        const data = text.slice(at, at + this.#left);
        events.push({ channel: this.#channel, data });
        this.#left -= data.length;
        at += data.length;
        continue;
      }
      const end = text.indexOf('\n', at);
      this.#line += text.slice(at, end < 0 ? undefined : end);
      at = end < 0 ? text.length : end + 1;
      if (this.#line.length > 64) this.corrupt = true;
      else if (end >= 0) this.#onLine(events);
    }
    return events;
  }

  #onLine(events: ChannelEvent[]): void {
    const match = /^(\d{1,10}) (?:(\d{1,9})|end (\d{1,3}) (\d{1,9}))$/.exec(this.#line);
    this.#line = '';
    if (!match) {
      this.corrupt = true;
      return;
    }
    this.#channel = Number(match[1]);
    if (match[2] !== undefined) this.#left = Number(match[2]);
    else events.push({ channel: this.#channel, status: Number(match[3]), wait: Number(match[4]) });
  }
}
