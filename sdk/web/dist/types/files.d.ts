/**
 * Files over the messages of a stream: `sendFile` splits a Blob, `receiveFile` returns one. A module of its own, independent of
 * the client: the caller passes the stream. Section 11 of docs/protocol.md has the format.
 */
import { FileAssembler, FileError, MAX_PART, type FileHeader } from './files/assembler.js';
import type { Message } from './message.js';
export { FileAssembler, FileError, MAX_PART };
export type { FileEvent, FileHeader } from './files/assembler.js';
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
/**
 * Sends a file behind those already being sent. Fulfilled when the file is durable on the server. Text may be sent meanwhile, and
 * goes between the parts; other binary messages must not. Rejected with `FileError` if the server has no version 3, the file
 * cannot be read or `signal` is aborted, and with `MinervaError` if the stream ends.
 *
 *     await sendFile(stream, input.files[0], { onprogress: (sent, size) => (bar.value = sent / size) });
 */
export declare function sendFile(stream: FileSender, file: Blob, options?: SendFileOptions): Promise<void>;
/**
 * Returns the next file among messages, for which the server waits while they are not read. Rejected with `FileError` if the
 * sender breaks the format or gives the file up, the file is too long, or the messages end.
 *
 *     const messages = stream[Symbol.asyncIterator]();
 *     const file = await receiveFile(messages, { maxSize: 10 << 20, onmessage: show });
 *     image.src = URL.createObjectURL(file);
 */
export declare function receiveFile(messages: AsyncIterator<Message>, { maxSize, onprogress, onmessage }?: ReceiveFileOptions): Promise<File>;
