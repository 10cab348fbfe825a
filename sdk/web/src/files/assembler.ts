/**
 * Receiving files: recognizes the messages of the file layer and checks lengths and order. Pure. Mirrors `FileAssembler` of
 * the Rust SDK; proto/vectors/files.json has their shared vectors.
 */
import type { Message } from '../message.js';

/** Most bytes of a part. */
export const MAX_PART = 32 * 1024;

/** Description of a file: `{ name: 'cat.png', size: 70_000, type: 'image/png' }`. */
export interface FileHeader {
  /** Name at the sender. Not trustworthy: never a path at the receiver. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Media type, such as `image/png`; may be empty. */
  readonly type: string;
}

/** A message, as part of a file or not; returned by `FileAssembler.onMessage`. */
export type FileEvent =
  /** A file begins. A file of 0 bytes has no part. */
  | { readonly kind: 'begun'; readonly header: FileHeader }
  /** The next bytes of the file, and the sum of the received ones. */
  | { readonly kind: 'part'; readonly data: Uint8Array; readonly received: number; readonly isLast: boolean }
  /** The sender does not send the rest of the file. */
  | { readonly kind: 'given up'; readonly reason: string }
  /** The message does not belong to a file. */
  | { readonly kind: 'other'; readonly message: Message };

/**
 * Reason for which a file was not received or sent.
 *
 *     await sendFile(stream, file).catch((error) => show(error.message));
 */
export class FileError extends Error {
  override readonly name = 'FileError';
}

/**
 * Recognizes the files among the messages of the server. After an error no file is under way.
 *
 *     const files = new FileAssembler(10 << 20);
 *     stream.onmessage = ({ data }) => {
 *       const event = files.onMessage(data);
 *       if (event.kind === 'part') write(event.data);
 *     };
 */
export class FileAssembler {
  /** Bytes to the end of the file under way; 0 without one. */
  #left = 0;
  #received = 0;

  /** Accepts files of at most `maxSize` bytes. */
  constructor(readonly maxSize = 2 ** 53) {}

  /** Takes the next message of the server. Throws `FileError` if the message breaks the format, or the file is too long. */
  onMessage(message: Message): FileEvent {
    return typeof message === 'string' ? this.#onText(message) : this.#onBinary(message);
  }

  #onText(message: string): FileEvent {
    const { file: name, size, type = '', error } = parse(message);
    const left = this.#left;
    if (typeof name === 'string' && typeof error === 'string') {
      this.#left = 0;
      return { kind: 'given up', reason: error };
    }
    const isHeader = typeof name === 'string' && typeof type === 'string' && Number.isInteger(size) && Number(size) >= 0;
    if (!isHeader) return { kind: 'other', message };
    const header: FileHeader = { name, size: Number(size), type };
    this.#left = this.#received = 0;
    if (left > 0) throw new FileError('a file begins before the end of another one');
    if (header.size > this.maxSize) throw new FileError(`a file of ${header.size} bytes exceeds the limit of ${this.maxSize}`);
    this.#left = header.size;
    return { kind: 'begun', header };
  }

  #onBinary(data: Uint8Array): FileEvent {
    const { length } = data;
    const left = this.#left;
    if (left === 0) return { kind: 'other', message: data };
    this.#left = 0;
    if (length === 0 || length > Math.min(left, MAX_PART)) {
      throw new FileError(`a part of ${length} bytes, where ${left} are left`);
    }
    this.#left = left - length;
    this.#received += length;
    return { kind: 'part', data, received: this.#received, isLast: length === left };
  }
}

/** Members of a message of the file layer; none for other text. */
function parse(text: string): { readonly [name: string]: unknown } {
  if (!text.startsWith('{"file":')) return {};
  try {
    return JSON.parse(text) as { readonly [name: string]: unknown };
  } catch {
    return {};
  }
}
