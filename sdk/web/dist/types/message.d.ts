/** A message: text, or binary. Version 2 of the protocol carries text of the characters 0x20-0x7E only. */
export type Message = string | Uint8Array;
/** Returns whether version 2 can carry a message. */
export declare function isForVersion2(message: Message): boolean;
/** Length in bytes, of text in UTF-8. */
export declare function byteLength(message: Message): number;
/**
 * Returns a valid message; a buffer is copied. Throws `TypeError` for other types, and `MinervaError` for lone
 * surrogates, messages longer than `max`, and, if `version` is 2, for a message that needs version 3. `version` 0: not known yet.
 */
export declare function checkMessage(value: unknown, version: number, max: number): Message;
