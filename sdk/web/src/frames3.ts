/**
 * Codec of wire version 3: binary frames of a type, a length and a body. Independent of transports and of the effect of
 * frames on a stream. Used by the transports.
 *
 * Numbers, SACKs and resets have the text forms of version 2 (`frames.ts`).
 */
import { decodeFrame, encodeFrame, type Frame, type OutFrame } from './frames.js';

/** Longest body in bytes, and longest message. */
export const MAX_BODY = 1 << 20;
const MAX_NUMBER = 2 ** 53;

/** Reaction of a client to a refusal; an unknown one is read as `halt`. */
export type ClientAction = 'retry' | 'end' | 'halt' | 'fallback';

/** Known refusal codes: HTTP status, action, and whether the second refusal in a row ends the stream. */
export const REFUSALS = {
  version: [426, 'fallback', false],
  hello: [400, 'end', false],
  origin: [403, 'halt', false],
  service: [404, 'halt', false],
  unserved: [503, 'retry', false],
  busy: [429, 'retry', false],
  frame: [400, 'retry', true],
  message: [400, 'end', false],
  too_large: [413, 'end', false],
  window: [409, 'retry', true],
  acked_unsent: [409, 'retry', true],
  superseded: [409, 'end', false],
  gone: [410, 'end', false],
  draining: [503, 'retry', false],
  unavailable: [503, 'retry', false],
} as const satisfies Record<string, readonly [number, ClientAction, boolean]>;

/** Code of a refusal that this build knows. */
export type RefusalCode = keyof typeof REFUSALS;

/** First answer of the server on a transport. Absent members are known from an earlier transport. */
export interface Welcome {
  readonly type: 'welcome';
  /** Number of the stream and claim tag of its creation. */
  readonly born?: string | undefined;
  /** Longest message in bytes. */
  readonly max?: number | undefined;
  /** The server inflates compressed runs. */
  readonly z?: true | undefined;
  /** First message that will be written to a new generation. */
  readonly from?: number | undefined;
  /** First number that the client may assign. */
  readonly own?: number | undefined;
}

/** Reason for which the server ends a transport. */
export interface Refusal {
  readonly type: 'refusal';
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly do: ClientAction;
  /** Shortest pause before the next transport, in milliseconds. */
  readonly after?: number | undefined;
}

/** Frame of either direction. A binary body is a copy of the received bytes. */
export type Frame3 =
  | Welcome
  | Refusal
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'binary'; readonly data: Uint8Array }
  | Extract<Frame, { type: 'seqnum' | 'sack' | 'status' | 'you_close_it' | 'reset' }>
  | { readonly type: 'comment'; readonly data: Uint8Array }
  | { readonly type: 'claim_tag'; readonly first: number; readonly tag: string }
  | { readonly type: 'compressed'; readonly data: Uint8Array }
  | { readonly type: 'renewal'; readonly by?: number; readonly cred?: string }
  | { readonly type: 'extension'; readonly byte: number };

/** Type byte and unchecked body, a part of the received bytes. */
export interface RawFrame {
  readonly kind: string;
  readonly body: Uint8Array;
}

const KINDS = 'WmbNATY^LZRt!';
const decoder = /* @__PURE__ */ new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = /* @__PURE__ */ new TextEncoder();

/** Position of the first lone surrogate, which UTF-8 cannot express; -1 without one. */
export function loneSurrogateAt(text: string): number {
  return text.search(/\p{Surrogate}/u);
}

/**
 * Reads the length at a position: the length and the next position, null if bytes are missing, `frame` if the form is not
 * the shortest one.
 */
function readLength(bytes: Uint8Array, start: number): readonly [number, number] | null | 'frame' {
  let length = 0;
  for (let index = 0; index < 3; index += 1) {
    const byte = bytes[start + index];
    if (byte === undefined) return null;
    length |= (byte & 0x7f) << (7 * index);
    if (byte < 0x80) return byte === 0 && index > 0 ? 'frame' : [length, start + index + 1];
  }
  return 'frame';
}

/** Incremental splitter: accepts bytes in arbitrary pieces and returns complete frames. */
export class FrameSplitter {
  /** Unfinished frame, joined once when its last byte arrives. */
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** Bytes of the unfinished frame, as far as known. */
  #needed = 1;
  /** Code after an invalid frame. Frames returned before remain valid; later input is ignored. */
  refused: RefusalCode | null = null;

  constructor(readonly maxMessage = MAX_BODY) {}

  /** True if no frame is unfinished. */
  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Appends a piece and returns the completed frames. Check `refused` afterwards. */
  push(piece: Uint8Array): RawFrame[] {
    const frames: RawFrame[] = [];
    if (this.refused || piece.length === 0) return frames;
    this.#chunks.push(piece);
    this.#length += piece.length;
    if (this.#length < this.#needed) return frames;
    const bytes = this.#chunks.length === 1 ? piece : concat(this.#chunks);
    let start = 0;
    for (;;) {
      const end = this.#end(bytes, start);
      if (end === null || end > bytes.length) {
        this.#needed = (end ?? bytes.length + 1) - start;
        break;
      }
      const body = (readLength(bytes, start + 1) as readonly [number, number])[1];
      frames.push({ kind: String.fromCharCode(bytes[start] ?? 0), body: bytes.subarray(body, end) });
      start = end;
    }
    this.#length = bytes.length - start;
    this.#chunks = this.#length > 0 ? [bytes.subarray(start)] : [];
    return frames;
  }

  /** Position behind the frame at `start`; null if the header is incomplete or invalid. */
  #end(bytes: Uint8Array, start: number): number | null {
    const kind = bytes[start];
    if (kind === undefined) return null;
    const length = readLength(bytes, start + 1);
    const name = String.fromCharCode(kind);
    if ((kind < 0x80 && !KINDS.includes(name)) || length === 'frame') this.refused = 'frame';
    else if (length && length[0] > ('mb'.includes(name) ? Math.min(this.maxMessage, MAX_BODY) : MAX_BODY)) this.refused = 'too_large';
    return length && !this.refused ? (length[1] as number) + (length[0] as number) : null;
  }
}

/** Decodes a frame of either direction; a code if the body is invalid. */
export function decodeFrame3({ kind, body }: RawFrame): Frame3 | RefusalCode {
  if (kind === 'b') return { type: 'binary', data: body.slice() };
  if (kind === '^') return { type: 'comment', data: body };
  if (kind === 'Z') return { type: 'compressed', data: body };
  if (kind >= '\x80') return { type: 'extension', byte: kind.charCodeAt(0) };
  let text: string;
  try {
    text = decoder.decode(body);
  } catch {
    return kind === 'm' ? 'message' : 'frame';
  }
  if (kind === 'm') return { type: 'text', text };
  return decodeText(kind, text) ?? 'frame';
}

function decodeText(kind: string, text: string): Frame3 | null {
  if (kind === 'L') {
    const [, first = '', tag = ''] = /^(\d+) ([0-9a-f]{16})$/.exec(text) ?? [];
    const frame = decodeFrame(`${first}N`);
    return frame?.type === 'seqnum' ? { type: 'claim_tag', first: frame.number, tag } : null;
  }
  if (!'WRt'.includes(kind)) return 'NATY!'.includes(kind) ? (decodeFrame(text + kind) as Frame3 | null) : null;
  let members: { readonly [key: string]: unknown };
  try {
    members = JSON.parse(text) as typeof members;
  } catch {
    return null;
  }
  // Other JSON does not begin in this way.
  return /^\s*\{/.test(text) ? { W: decodeWelcome, R: decodeRefusal, t: decodeRenewal }[kind as 'W' | 'R' | 't'](members) : null;
}

type Members = Record<string, unknown>;

/** True for an absent member and for an integer from `min` to `max`. */
function isNumber(value: unknown, min = 0, max = MAX_NUMBER): value is number | undefined {
  return value === undefined || (Number.isInteger(value) && (value as number) >= min && (value as number) <= max);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isCreation(value: unknown): value is string {
  // As a number, a stream number would be rounded.
  return isText(value) && /^[1-9]\d{0,19}\.[0-9a-f]{16}$/.test(value) && BigInt(value.slice(0, -17)) < 2n ** 64n;
}

function decodeWelcome({ born, max, z, from, own }: Members): Welcome | null {
  const isValid = (born === undefined || isCreation(born)) && isNumber(max, 1, MAX_BODY) && isNumber(z, 0, 1) && isNumber(from) && isNumber(own);
  return isValid ? { type: 'welcome', born, max, z: z === 1 || undefined, from, own } : null;
}

function decodeRefusal({ status, code, title = '', do: action, after }: Members): Refusal | null {
  const isValid = isNumber(status ?? 0, 400, 599) && isNumber(after) && isText(code) && /^.{1,32}$/s.test(code) && isText(title) && isText(action);
  return isValid ? { type: 'refusal', status: status as number, code, title, do: actionOf(action), after } : null;
}

/** Reads an action; an unknown one is `halt`. */
export function actionOf(name: unknown): ClientAction {
  return (['retry', 'end', 'fallback'] as const).find((known) => known === name) ?? 'halt';
}

function decodeRenewal({ by, cred }: Members): Frame3 | null {
  if (by !== undefined && cred === undefined && isNumber(by)) return { type: 'renewal', by };
  return by === undefined && isText(cred) ? { type: 'renewal', cred } : null;
}

/** Encodes frames for one write. */
export function encodeFrames(frames: readonly Frame3[]): Uint8Array {
  return concat(frames.flatMap(encodeParts));
}

function encodeParts(frame: Frame3): readonly Uint8Array[] {
  const [kind, content] = kindAndBody(frame);
  return envelope(kind, typeof content === 'string' ? encoder.encode(content) : content);
}

/** Encodes written frames, each as the parts of its own. The hello keeps the framing of version 2. */
export function encodeOut(frame: OutFrame): Uint8Array {
  if (typeof frame !== 'string') return concat(envelope(0x62, frame));
  const kind = frame.slice(-1);
  if (kind === 'H') return encoder.encode(`${frame}\n`);
  return concat(envelope(kind === ' ' ? 0x6d : kind.charCodeAt(0), encoder.encode(frame.slice(0, -1))));
}

function envelope(kind: number, body: Uint8Array): readonly Uint8Array[] {
  const header = [kind];
  let length = body.length;
  for (; length >= 0x80; length >>= 7) header.push((length & 0x7f) | 0x80);
  header.push(length);
  return [Uint8Array.from(header), body];
}

function kindAndBody(frame: Frame3): readonly [number, string | Uint8Array] {
  switch (frame.type) {
    case 'text':
      return [0x6d, frame.text];
    case 'binary':
      return [0x62, frame.data];
    case 'comment':
      return [0x5e, frame.data];
    case 'compressed':
      return [0x5a, frame.data];
    case 'claim_tag':
      return [0x4c, `${frame.first} ${frame.tag}`];
    case 'extension':
      return [frame.byte, ''];
    case 'welcome': {
      const { type: _, z, born, max, ...rest } = frame;
      return [0x57, JSON.stringify({ born, max, z: z && 1, ...rest })];
    }
    case 'refusal': {
      const { type: _, ...members } = frame;
      return [0x52, JSON.stringify(members)];
    }
    case 'renewal': {
      const { type: _, ...members } = frame;
      return [0x74, JSON.stringify(members)];
    }
    default: {
      const text = encodeFrame(frame);
      return [text.charCodeAt(text.length - 1), text.slice(0, -1)];
    }
  }
}

/** Joins chunks by one copy. */
export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}
