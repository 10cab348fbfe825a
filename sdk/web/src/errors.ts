/** Errors of the public API. */

/**
 * Reason for a rejected call: the stream has ended, or an argument is invalid.
 *
 *     await stream.send(text).catch((error) => showError(error.message));
 */
export class MinervaError extends Error {
  override readonly name = 'MinervaError';
}

/** Returns the error for a value of a wrong type: a `TypeError`, whose code distinguishes the error from those of the language. */
export function wrongType(rule: string): TypeError {
  return Object.assign(new TypeError(rule), { code: 'type' });
}

/**
 * Error answer to a question. A `question` handler throws a `QanError` to answer with `body`; `ask` rejects with a
 * `QanError` on an error answer. `known` is false if the peer failed without an error meant for this side.
 *
 *     stream.qan.handle({
 *       question(body) {
 *         throw new QanError('out of stock');
 *       },
 *     });
 */
export class QanError extends Error {
  override readonly name = 'QanError';

  constructor(
    readonly body: string | Uint8Array,
    readonly known = true,
  ) {
    super(typeof body === 'string' ? body : 'binary error answer');
  }
}
