/** Content of messages. Pure. Used by the windows, the codecs and the client. */
import { MinervaError, wrongType } from './errors.js';
import { isMessageAllowed } from './frames.js';

/** A message: text, or binary. Version 2 of the protocol carries text of the characters 0x20-0x7E only. */
export type Message = string | Uint8Array;

const encoder = /* @__PURE__ */ new TextEncoder();

/** Returns whether version 2 can carry a message. */
export function isForVersion2(message: Message): boolean {
  return typeof message === 'string' && isMessageAllowed(message);
}

/** Length in bytes, of text in UTF-8. */
export function byteLength(message: Message): number {
  return !VERSION_3 || typeof message !== 'string' || isMessageAllowed(message) ? message.length : encoder.encode(message).length;
}

/**
 * Returns a valid message; a buffer is copied. Throws `TypeError` for other types, and `MinervaError` for lone
 * surrogates, messages longer than `max`, and, if `version` is 2, for a message that needs version 3. `version` 0: not known yet.
 */
export function checkMessage(value: unknown, version: number, max: number): Message {
  let message: Message;
  if (typeof value === 'string') {
    message = value;
    const refused = !VERSION_3 || version === 2 ? /[^ -~]/ : /\p{Surrogate}/u;
    const at = message.search(refused);
    if (at >= 0) throw new MinervaError(VERSION_3 && version !== 2 ? `a lone surrogate at ${at}` : `${ASCII} ${at}: ${REMEDY}`);
  } else if (VERSION_3) {
    if (value instanceof ArrayBuffer) message = new Uint8Array(value).slice();
    else if (ArrayBuffer.isView(value)) message = new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
    else throw wrongType('a message is a string or bytes: send toJson(value), or await blob.arrayBuffer()');
    if (version === 2) throw new MinervaError(`this server has no binary messages: ${REMEDY}`);
  } else throw wrongType('a message is a string: send toJson(value)');
  if (byteLength(message) > max) throw new MinervaError(`a message has at most ${max} bytes`);
  return message;
}

const ASCII = 'a message has characters 0x20-0x7E, not as at';
const REMEDY = VERSION_3 ? 'send toJson(value), or start the server with --max-version 3' : 'send toJson(value)';
