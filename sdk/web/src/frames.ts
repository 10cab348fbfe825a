/**
 * The frame codec: one frame as text, its last character the type. Knows nothing of how frames are
 * cut from bytes or what they do to a stream. Used by the stream machine.
 *
 * Text stands for bytes here: a character is a byte, as everything the protocol allows is ASCII.
 */
import { parseNumber } from './numbers.js';
import { formatSack, parseSack, type Sack } from './sack.js';

/** The longest frame, its type byte included. */
export const MAX_FRAME = 1 << 20;
/** The longest string: a frame less its type byte. */
export const MAX_MESSAGE = MAX_FRAME - 1;
/** The longest reason of a reset. */
export const MAX_REASON = 255;

const KILL_REASONS = [
  'stream_attach_failure',
  'acked_unsent_strings',
  'frame_corruption',
  'invalid_frame_type_or_arguments',
  'rwin_overflow',
] as const;

/** Why the server ended a transport (the stream goes on). */
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

/** Whether a string may be sent: bytes 0x20-0x7E only. */
export function isMessageAllowed(text: string): boolean {
  return /^[ -~]*$/.test(text);
}

/** Reads one frame of either direction; null: no such frame, or wrong arguments. */
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

/** Writes one frame. */
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
  const bar = body.lastIndexOf('|');
  const level = body.slice(bar + 1);
  const reason = body.slice(0, bar);
  if (bar < 0 || (level !== '0' && level !== '1')) return null;
  if (reason.length > MAX_REASON || !isMessageAllowed(reason)) return null;
  return { type: 'reset', reason, applicationLevel: level === '1' };
}
