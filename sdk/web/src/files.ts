/**
 * Files over the messages of a stream: `sendFile` splits a Blob, `receiveFile` returns one. A module of its own, independent of
 * the client: the caller passes the stream. Section 11 of docs/protocol.md has the format.
 */
import { FileAssembler, FileError, MAX_PART, type FileHeader } from './files/assembler.js';
import type { Message } from './message.js';

export { FileAssembler, FileError, MAX_PART };
export type { FileEvent, FileHeader } from './files/assembler.js';

/** Parts in flight: 128 KiB, so that small messages wait for little. */
const MAX_PARTS = 4;
/** Bytes that are collected before they become part of a Blob, which browsers keep outside of the JavaScript heap. */
const MAX_COLLECTED = 1 << 20;

/** Part of a `MinervaStream` that `sendFile` uses. */
export interface FileSender {
  /** Version of the protocol; 0 before it is known. Binary messages need version 3. */
  readonly version: number;
  send(message: string | Uint8Array): Promise<void>;
}

/** Options of `sendFile`: `{ onprogress: (sent, size) => (bar.value = sent / size), signal: AbortSignal.timeout(60_000) }`. */
export interface SendFileOptions {
  /** Name for the receiver; default: the name of a `File`, else empty. */
  readonly name?: string;
  /** Called with the bytes that are durable on the server, and the size of the file. */
  readonly onprogress?: (sent: number, size: number) => void;
  /** Gives the file up when aborted; the receiver is notified. */
  readonly signal?: AbortSignal;
}

/** Options of `receiveFile`: `{ maxSize: 10 << 20, onmessage: show }`. */
export interface ReceiveFileOptions {
  /** Longest accepted file in bytes; default 2^53. */
  readonly maxSize?: number;
  /** Called with the received bytes after each part, and once at the beginning with 0. */
  readonly onprogress?: (received: number, header: FileHeader) => void;
  /** Receives the messages that do not belong to the file. */
  readonly onmessage?: (message: Message) => void;
}

/** The last file of each stream: one at a time is under way. */
const last = new WeakMap<FileSender, Promise<void>>();

/**
 * Sends a file behind those already being sent. Fulfilled when the file is durable on the server. Text may be sent meanwhile, and
 * goes between the parts; other binary messages must not. Rejected with `FileError` if the server has no version 3, the file
 * cannot be read or `signal` is aborted, and with `MinervaError` if the stream ends.
 *
 *     await sendFile(stream, input.files[0], { onprogress: (sent, size) => (bar.value = sent / size) });
 */
export function sendFile(stream: FileSender, file: Blob, options: SendFileOptions = {}): Promise<void> {
  const sent = (last.get(stream) ?? Promise.resolve()).then(() => send(stream, file, options));
  last.set(stream, sent.catch(() => {}));
  return sent;
}

async function send(stream: FileSender, blob: Blob, { name, onprogress, signal }: SendFileOptions): Promise<void> {
  const { size, type } = blob;
  // A lone surrogate has no form in UTF-8.
  const file = (name ?? (blob as File).name ?? '').replace(/\p{Surrogate}/gu, '\ufffd');
  if (stream.version === 2) throw new FileError('files need version 3: start the server with --max-version 3');
  let reason = 'cancelled';
  const check = (): void => {
    if (signal?.aborted) throw new FileError(reason);
  };
  check();
  const queue: Promise<void>[] = [stream.send(JSON.stringify({ file, size, type }))];
  let durable = 0;
  try {
    for (let at = 0; at < size; at += MAX_PART) {
      if (queue.length >= MAX_PARTS) await queue.shift();
      check();
      const part = await read(blob.slice(at, at + MAX_PART)).catch(() => {
        throw new FileError((reason = 'the file cannot be read'));
      });
      check();
      const sending = stream.send(part).then(() => onprogress?.((durable += part.length), size));
      // Awaited later, so a rejection is not unhandled.
      sending.catch(() => {});
      queue.push(sending);
    }
  } catch (error) {
    // Fails if the stream is over.
    stream.send(JSON.stringify({ file, error: reason })).catch(() => {});
    throw error;
  }
  await Promise.all(queue);
}

async function read(part: Blob): Promise<Uint8Array> {
  return new Uint8Array(await part.arrayBuffer());
}

/**
 * Returns the next file among messages, for which the server waits while they are not read. Rejected with `FileError` if the
 * sender breaks the format or gives the file up, the file is too long, or the messages end.
 *
 *     const messages = stream[Symbol.asyncIterator]();
 *     const file = await receiveFile(messages, { maxSize: 10 << 20, onmessage: show });
 *     image.src = URL.createObjectURL(file);
 */
export async function receiveFile(
  messages: AsyncIterator<Message>,
  { maxSize, onprogress, onmessage }: ReceiveFileOptions = {},
): Promise<File> {
  const files = new FileAssembler(maxSize);
  let header: FileHeader | undefined;
  let parts: BlobPart[] = [];
  let collected = 0;
  for (;;) {
    const { done, value } = await messages.next();
    if (done) throw new FileError('the stream ended before the file');
    const event = files.onMessage(value);
    if (event.kind === 'given up') throw new FileError(event.reason);
    if (event.kind === 'other') onmessage?.(event.message);
    else {
      let isLast = false;
      if (event.kind === 'begun') {
        header = event.header;
        isLast = header.size === 0;
        onprogress?.(0, header);
      } else {
        parts.push(event.data as Uint8Array<ArrayBuffer>);
        isLast = event.isLast;
        collected += event.data.length;
        if (collected >= MAX_COLLECTED) {
          parts = [new Blob(parts)];
          collected = 0;
        }
        onprogress?.(event.received, header as FileHeader);
      }
      if (isLast) return new File(parts, header?.name ?? '', { type: header?.type ?? '' });
    }
  }
}
