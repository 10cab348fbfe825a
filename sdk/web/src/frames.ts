/**
 * Codec of single frames: text whose last character is the frame type. Excludes framing (`framing.ts`) and the
 * effect of frames on a stream. Used by the stream machine.
 *
 * The protocol is ASCII, so one character stands for one byte.
 */
import { parseNumber } from './numbers.js';
import { formatSack, parseSack, type Sack } from './sack.js';

/** Longest frame in bytes, type byte included. */
export const MAX_FRAME = 1 << 20;
/** Longest message in bytes: a frame without the type byte. */
export const MAX_MESSAGE = MAX_FRAME - 1;
/** Longest reset reason in bytes. */
export const MAX_REASON = 255;

/**
 * Frame to be written, before the framing: text with the type at the end in both versions of the protocol, or a binary
 * message of version 3.
 */
export type OutFrame = string | Uint8Array;

const KILL_REASONS = [
  'stream_attach_failure',
  'acked_unsent_strings',
  'frame_corruption',
  'invalid_frame_type_or_arguments',
  'rwin_overflow',
] as const;

/** Reason for which the server closed a transport; the stream itself continues. */
export type KillReason = (typeof KILL_REASONS)[number];

export type Frame =
  | { readonly type: 'hello'; readonly json: string }
  | { readonly type: 'string'; readonly text: string }
  | { readonly type: 'seqnum'; readonly number: number }
  | { readonly type: 'sack'; readonly sack: Sack }
  | { readonly type: 'status'; readonly sack: Sack }
  | { readonly type: 'created' }
  | { readonly type: 'you_close_it' }
  | { readonly type: 'comment'; readonly text: string }
  | { readonly type: 'reset'; readonly reason: string; readonly applicationLevel: boolean }
  | { readonly type: 'kill'; readonly reason: KillReason };

/** Returns whether a message contains only the bytes 0x20-0x7E, the ones that version 2 of the protocol carries. */
export function isMessageAllowed(text: string): boolean {
  return /^[ -~]*$/.test(text);
}

/** Returns the frame of a message. */
export function encodeMessage(message: OutFrame): OutFrame {
  return VERSION_3 && typeof message !== 'string' ? message : `${message as string} `;
}

/** Decodes a frame of either direction; null for an unknown type or invalid arguments. */
export function decodeFrame(raw: string): Frame | null {
  const body = raw.slice(0, -1);
  switch (raw.slice(-1)) {
    case ' ':
      return isMessageAllowed(body) ? { type: 'string', text: body } : null;
    case 'N': {
      const number = parseNumber(body);
      return number === null ? null : { type: 'seqnum', number };
    }
    case 'A': {
      const sack = parseSack(body);
      return sack && { type: 'sack', sack };
    }
    case 'T': {
      const sack = parseSack(body);
      return sack && { type: 'status', sack };
    }
    case 'H':
      return { type: 'hello', json: body };
    case '^':
      return { type: 'comment', text: body };
    case 'C':
      return body === '' ? { type: 'created' } : null;
    case 'Y':
      return body === '' ? { type: 'you_close_it' } : null;
    case '!':
      return decodeReset(body);
    case 'K': {
      const reason = KILL_REASONS.find((known) => known === body);
      return reason === undefined ? null : { type: 'kill', reason };
    }
    default:
      return null;
  }
}

/** Encodes a frame; the inverse of `decodeFrame`. */
export function encodeFrame(frame: Frame): string {
  switch (frame.type) {
    case 'hello':
      return `${frame.json}H`;
    case 'string':
      return `${frame.text} `;
    case 'seqnum':
      return `${frame.number}N`;
    case 'sack':
      return `${formatSack(frame.sack)}A`;
    case 'status':
      return `${formatSack(frame.sack)}T`;
    case 'created':
      return 'C';
    case 'you_close_it':
      return 'Y';
    case 'comment':
      return `${frame.text}^`;
    case 'reset':
      return `${frame.reason}|${frame.applicationLevel ? 1 : 0}!`;
    case 'kill':
      return `${frame.reason}K`;
  }
}

function decodeReset(body: string): Frame | null {
  const [, reason, level] = /^([ -~]*)\|([01])$/.exec(body) ?? [];
  if (reason === undefined || reason.length > MAX_REASON) return null;
  return { type: 'reset', reason, applicationLevel: level === '1' };
}
