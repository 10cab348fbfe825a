/**
 * QAN (questions, answers, notifications): requests in both directions over the messages of a stream. Independent of
 * the stream: the caller passes received messages and a send function. A body is text or binary, and so is the message that
 * carries the body. A module of its own, which the client loads with the first use.
 */
import { QanError, wrongType } from './errors.js';
import { concat } from './frames3.js';
import type { Message } from './message.js';
import { parseNumber } from './numbers.js';

/** Longest end of a message in bytes: the separator, the number and the kind. */
const MAX_END = 18;
/** Largest number of peer questions handled at the same time; further ones are answered with an error. */
const MAX_HANDLED = 1000;

/** Handlers for questions and notifications of the peer; see `Qan.handle`. */
export interface QanHandler {
  /** Returns the answer to a question. `signal` is aborted when the peer cancels the question or the stream ends. */
  question?(body: Message, signal: AbortSignal): Message | Promise<Message>;
  /** Receives a notification. */
  notification?(body: Message): unknown;
}

interface PendingQuestion {
  readonly resolve: (body: Message) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Questions, answers and notifications on one stream; the methods are those of `MinervaStream.qan`.
 */
export class Qan {
  #handler: QanHandler = {};
  #next = 1;
  /** Own questions without an answer, by number. */
  #pending = new Map<number, PendingQuestion>();
  /** Peer questions whose handler is running, by number. */
  #handling = new Map<number, AbortController>();

  /** `send` queues a message; `fail` resets the stream with a reason after a protocol violation. */
  constructor(
    readonly send: (message: Message) => Promise<void>,
    readonly fail: (reason: string) => void,
    /** The class of the client's script: this module has another copy. */
    readonly errorType = QanError,
  ) {}

  /**
   * Sends a question. The promise is fulfilled with the answer, and rejected by an error answer, by `signal`, or by
   * the end of the stream.
   */
  ask(body: Message, { signal }: { signal?: AbortSignal } = {}): Promise<Message> {
    let onAbort = (): void => {};
    const answer = new Promise<Message>((resolve, reject) => {
      signal?.throwIfAborted();
      const number = this.#next++;
      this.#pending.set(number, { resolve, reject });
      this.send(join(body, `|${number}Q`)).catch((error: unknown) => {
        reject(error);
        this.#pending.delete(number);
      });
      onAbort = () => {
        // The peer answers a cancelled question too; until then the number stays in use.
        if (this.#pending.has(number)) this.send(`${number}C`).catch(() => {});
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort);
    });
    // In every outcome: a signal may outlive any number of questions.
    return answer.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  /** Sends a notification: `await stream.qan.notify('seen 7')`. Fulfilled when durable on the server. */
  async notify(body: Message): Promise<void> {
    return this.send(join(body, '#'));
  }

  /**
   * Replaces the handlers for questions and notifications of the peer.
   *
   *     stream.qan.handle({ question: (body) => `you sent ${body}`, notification: show });
   */
  handle(handler: QanHandler): void {
    this.#handler = handler;
  }

  /** Processes a received message. */
  recv(message: Message): void {
    const end = !VERSION_3 || typeof message === 'string' ? (message as string) : String.fromCharCode(...message.slice(-MAX_END));
    const [suffix = '', bar = '', digits = '', kind = ''] = /(^|\|)(\d+)([QKEUC])$/.exec(end) ?? [];
    const number = parseNumber(digits);
    if (end.endsWith('#')) return void this.#notify(message.slice(0, -1));
    if (number === null || (kind === 'C') === !!bar) return this.fail('bad QAN frame');
    const body = message.slice(0, -suffix.length);
    if (kind === 'Q') void this.#answer(number, body);
    else if (kind === 'C') this.#handling.get(number)?.abort();
    else this.#onAnswer(number, body, kind);
  }

  /** Rejects pending questions and aborts running handlers with `error`; called at the end of the stream. */
  end(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    for (const controller of this.#handling.values()) controller.abort(error);
    this.#pending.clear();
  }

  #onAnswer(number: number, body: Message, kind: string): void {
    const asked = this.#pending.get(number);
    if (!asked) {
      // After a restart the application answers again, as interrupted, if the first answer may be lost.
      if (number >= this.#next || number < 1) this.fail(`QAN question ${number} unknown`);
      return;
    }
    this.#pending.delete(number);
    if (kind === 'K') asked.resolve(body);
    else asked.reject(new this.errorType(body, kind === 'E'));
  }

  async #answer(number: number, body: Message): Promise<void> {
    if (this.#handling.has(number)) {
      return this.fail(`QAN question ${number} in use`);
    }
    if (this.#handling.size >= MAX_HANDLED) return void this.send(`too many questions|${number}U`);
    const controller = new AbortController();
    const { signal } = controller;
    this.#handling.set(number, controller);
    const uncaught = `Uncaught exception|${number}U`;
    let answer: Message = `CancelledError|${number}U`;
    try {
      if (!this.#handler.question) throw new this.errorType('nobody answers');
      answer = join(await this.#handler.question(body, signal), `|${number}K`);
    } catch (error) {
      if (error instanceof this.errorType) answer = join(error.body, `|${number}${error.known ? 'E' : 'U'}`);
      else if (!signal.aborted) {
        answer = uncaught;
        // Reported as an unhandled rejection.
        void Promise.reject(error);
      }
    }
    this.#handling.delete(number);
    // Sending fails if the version of the stream cannot carry the answer; after the end of the stream no answer is due.
    this.send(answer).catch((error: unknown) =>
      this.send(uncaught).then(
        () => Promise.reject(error),
        () => {},
      ),
    );
  }

  async #notify(body: Message): Promise<void> {
    await this.#handler.notification?.(body);
  }
}

/** Appends ASCII characters to a body. Throws `TypeError` for other types. */
function join(body: Message, suffix: string): Message {
  if (VERSION_3 && body instanceof Uint8Array) {
    return concat([body, Uint8Array.from(suffix, (character) => character.charCodeAt(0))]);
  }
  if (typeof body !== 'string') throw wrongType('a body is a string or a Uint8Array');
  return `${body}${suffix}`;
}
