/**
 * WebSocket transport: WebSocket messages of whole frames in both directions, text in version 2 and binary in version 3.
 * Used by the driver.
 */
import type { OutFrame } from '../frames.js';
import { concat, encodeOut } from '../frames3.js';
import { Lines } from '../framing.js';
import { DAMAGED, local, type Refusal } from '../stream/refusal.js';
import type { Version } from '../stream/types.js';
import { Frames, type InFrame } from './reader.js';
import type { Listener, TransportHandle } from './transport.js';

/** Target size of a WebSocket message in characters or bytes, as servers bound it; a longer frame is sent alone. */
const MAX_BATCH = 64 * 1024;

/** Opens a WebSocket that offers versions; it accepts frames after the listener reported the opening. */
export function openWebSocket(url: string, versions: readonly Version[], listener: Listener): TransportHandle {
  const socket = newWebSocket(url, versions);
  let closed = false;
  const close = (): void => {
    closed = true;
    socket?.close();
  };
  let version: Version | undefined;
  const fail = (refusal: Refusal): void => {
    if (closed) return;
    close();
    listener([], 'failed', refusal);
  };
  const write = (frames: readonly OutFrame[]): void => {
    // A closed socket discards frames.
    if (VERSION_3 && version === 3) for (const parts of batch(frames.map(encodeOut))) socket?.send(concat(parts) as Uint8Array<ArrayBuffer>);
    else for (const lines of batch(frames.map((frame) => `${frame}\n`))) socket?.send(lines.join(''));
  };
  if (!socket) {
    queueMicrotask(() => fail(REFUSED));
    return { close };
  }
  if (VERSION_3) socket.binaryType = 'arraybuffer';
  socket.onopen = () => {
    version = VERSION_3 && socket.protocol.endsWith('3') ? 3 : 2;
    if (!closed) listener([], null, undefined, version);
  };
  socket.onmessage = (event: MessageEvent<unknown>) => {
    if (closed) return;
    const { data } = event;
    if ((typeof data === 'string') === (VERSION_3 && version === 3)) return fail(DAMAGED);
    let reader;
    let frames: readonly InFrame[];
    if (VERSION_3 && version === 3) {
      reader = new Frames();
      frames = reader.push(new Uint8Array(data as ArrayBuffer));
      // A frame does not continue in another WebSocket message.
      reader.corrupt ||= !reader.isEmpty;
    } else {
      reader = new Lines();
      frames = reader.push(data as string);
    }
    if (frames.length > 0) listener(frames, null);
    if (reader.corrupt) fail(DAMAGED);
  };
  socket.onclose = socket.onerror = () => fail(version ? CUT : REFUSED);
  return { write, close };
}

const CUT = local('network', 'connection cut');
/** Browsers hide the status of a refused handshake. */
const REFUSED = local('blocked', 'WebSocket refused');

/** Null where the platform has no WebSocket, or forbids this one: that kind counts as failed. */
function newWebSocket(url: string, versions: readonly Version[]): WebSocket | null {
  try {
    return new WebSocket(url, versions.map((version) => `minerva.${version}`));
  } catch {
    return null;
  }
}

/** Splits encoded frames into batches of at most MAX_BATCH characters or bytes, or one longer frame. */
export function batch<T extends { readonly length: number }>(frames: readonly T[]): T[][] {
  const batches: T[][] = [];
  let room = 0;
  for (const frame of frames) {
    room -= frame.length;
    if (room < 0 || batches.length === 0) {
      batches.push([]);
      room = MAX_BATCH - frame.length;
    }
    batches.at(-1)?.push(frame);
  }
  return batches;
}
