/**
 * Receiving files: recognizes the messages of the file layer and checks lengths and order. Pure. Mirrors `FileAssembler` of
 * the Rust SDK; proto/vectors/files.json has their shared vectors.
 */
import type { Message } from '../message.js';
/** Most bytes of a part. */
export declare const MAX_PART: number;
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
{
    readonly kind: 'begun';
    readonly header: FileHeader;
}
/** The next bytes of the file, and the sum of the received ones. */
 | {
    readonly kind: 'part';
    readonly data: Uint8Array;
    readonly received: number;
    readonly isLast: boolean;
}
/** The sender does not send the rest of the file. */
 | {
    readonly kind: 'given up';
    readonly reason: string;
}
/** The message does not belong to a file. */
 | {
    readonly kind: 'other';
    readonly message: Message;
};
/**
 * Reason for which a file was not received or sent.
 *
 *     await sendFile(stream, file).catch((error) => show(error.message));
 */
export declare class FileError extends Error {
    readonly name = "FileError";
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
export declare class FileAssembler {
    #private;
    readonly maxSize: number;
    /** Accepts files of at most `maxSize` bytes. */
    constructor(maxSize?: number);
    /** Takes the next message of the server. Throws `FileError` if the message breaks the format, or the file is too long. */
    onMessage(message: Message): FileEvent;
}
