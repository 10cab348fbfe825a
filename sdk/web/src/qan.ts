/**
 * QAN: questions, answers and notifications on the strings of a stream, both ways. Knows no stream: it is
 * given what comes and how to send. Used by the client.
 */
import { parseNumber } from './numbers.js';

/** Questions and notifications of the other side that are being handled at once. */
const MAX_HANDLED = 1000;

/**
 * An error that the other side knows how to read: throw it from `question` to answer with it. A question
 * that is answered so, or with an error that only says that something failed (`known` is false), is
 * rejected with it.
 */
export class QanError extends Error {
  override readonly name = 'QanError';

  constructor(
    readonly body: string,
    readonly known = true,
  ) {
    super(body);
  }
}

export interface QanHandler {
  /** Answers a question. `signal`: the other side does not need the answer any more. */
  question?(body: string, signal: AbortSignal): string | Promise<string>;
  notification?(body: string): unknown;
}

interface PendingQuestion {
  readonly resolve: (body: string) => void;
  readonly reject: (error: unknown) => void;
}

export class Qan {
  #handler: QanHandler = {};
  #next = 1;
  #pending = new Map<number, PendingQuestion>();
  #handling = new Map<number, AbortController>();

  constructor(
    readonly send: (text: string) => Promise<void>,
    readonly fail: (reason: string) => void,
  ) {}

  /** Asks; fulfilled with the answer. Given up when `signal` says so. */
  ask(body: string, { signal }: { signal?: AbortSignal } = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const number = this.#next++;
      this.#pending.set(number, { resolve, reject });
      this.send(`${body}|${number}Q`).catch((error: unknown) => {
        reject(error);
        this.#pending.delete(number);
      });
      signal?.addEventListener('abort', () => {
        // It is answered all the same: its number stays in use until then.
        if (this.#pending.has(number)) void this.send(`${number}C`);
        reject(signal.reason);
      });
    });
  }

  /** Tells something that needs no answer; fulfilled when that is durable on the server. */
  notify(body: string): Promise<void> {
    return this.send(`${body}#`);
  }

  /** Sets who answers from now on. */
  handle(handler: QanHandler): void {
    this.#handler = handler;
  }

  /** A string came. */
  recv(text: string): void {
    const [, body = '', digits = '', kind = ''] = /^(?:(.*)\|)?(\d+)([QKEUC])$/.exec(text) ?? [];
    const number = parseNumber(digits);
    if (text.endsWith('#')) void this.#notify(() => this.#handler.notification?.(text.slice(0, -1)));
    else if (number === null || (kind === 'C') === text.includes('|')) this.fail('bad QAN frame');
    else if (kind === 'Q') void this.#answer(number, body);
    else if (kind === 'C') this.#handling.get(number)?.abort();
    else this.#onAnswer(number, body, kind);
  }

  /** The stream is over. */
  end(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    for (const controller of this.#handling.values()) controller.abort(error);
    this.#pending.clear();
  }

  #onAnswer(number: number, body: string, kind: string): void {
    const asked = this.#pending.get(number);
    if (!asked) return this.fail(`QAN question ${number} unknown`);
    this.#pending.delete(number);
    if (kind === 'K') asked.resolve(body);
    else asked.reject(new QanError(body, kind === 'E'));
  }

  async #answer(number: number, body: string): Promise<void> {
    if (this.#handling.has(number)) {
      return this.fail(`QAN question ${number} in use`);
    }
    if (this.#handling.size >= MAX_HANDLED) return void this.send(`too many questions|${number}U`);
    const { signal } = this.#begin(number);
    let answer = `CancelledError|${number}U`;
    try {
      if (!this.#handler.question) throw new QanError('nobody answers');
      answer = `${await this.#handler.question(body, signal)}|${number}K`;
    } catch (error) {
      if (error instanceof QanError) answer = `${error.body}|${number}${error.known ? 'E' : 'U'}`;
      else if (!signal.aborted) answer = uncaught(number, error);
    }
    this.#handling.delete(number);
    // It may have characters that cannot travel.
    this.send(answer).catch((error: unknown) => this.send(uncaught(number, error)).catch(() => {}));
  }

  #begin(number: number): AbortController {
    const controller = new AbortController();
    this.#handling.set(number, controller);
    return controller;
  }

  async #notify(run: () => unknown): Promise<void> {
    await run();
  }
}

/** The answer for an error that is a mistake of the page, which sees it as unhandled. */
function uncaught(number: number, error: unknown): string {
  void Promise.reject(error);
  return `Uncaught exception|${number}U`;
}
