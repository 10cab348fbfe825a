/**
 * Questions, answers and notifications on a stream. Loads the implementation, `qan.mjs` beside the client's own script, with
 * the first use. Used by the client.
 */
import { QanError } from './errors.js';
import type { Message } from './message.js';
import type { Qan as Machine, QanHandler } from './qan.js';

/**
 * Questions, answers and notifications on one stream; obtained from `MinervaStream.qan`. Calls wait for the module.
 *
 *     const answer = await stream.qan.ask('price of 7', { signal: AbortSignal.timeout(5000) });
 */
export class Qan {
  #loaded: Promise<Machine>;
  #machine: Machine | undefined;
  /** Calls that wait for the module; later ones must not overtake them. */
  #waiting = 0;

  /** `send` queues a message; `fail` resets the stream with a reason. */
  constructor(send: (message: Message) => Promise<void>, fail: (reason: string) => void) {
    this.#loaded = import('./qan.js').then(({ Qan }) => (this.#machine = new Qan(send, fail, QanError)));
    this.#loaded.catch(() => fail('qan.mjs cannot be loaded'));
  }

  /**
   * Sends a question. The promise is fulfilled with the answer, and rejected by an error answer, by `signal`, or by
   * the end of the stream.
   */
  ask(body: Message, options?: { signal?: AbortSignal }): Promise<Message> {
    return this.#call((machine) => machine.ask(body, options));
  }

  /** Sends a notification: `await stream.qan.notify('seen 7')`. Fulfilled when durable on the server. */
  notify(body: Message): Promise<void> {
    return this.#call((machine) => machine.notify(body));
  }

  /**
   * Replaces the handlers for questions and notifications of the peer.
   *
   *     stream.qan.handle({ question: (body) => `you sent ${body}`, notification: show });
   */
  handle(handler: QanHandler): void {
    void this.#call((machine) => machine.handle(handler));
  }

  /** Processes a received message. */
  recv(message: Message): void {
    void this.#call((machine) => machine.recv(message));
  }

  /** Rejects pending questions and aborts running handlers with `error`; called at the end of the stream. */
  end(error: Error): void {
    void this.#call((machine) => machine.end(error));
  }

  #call<T>(call: (machine: Machine) => T): T | Promise<Awaited<T>> {
    if (this.#machine && !this.#waiting) return call(this.#machine);
    this.#waiting += 1;
    return this.#loaded.then((machine) => {
      this.#waiting -= 1;
      return call(machine);
    }) as Promise<Awaited<T>>;
  }
}
