/** The model server on real sockets: HTTP, and the subset of WebSocket that the client uses, in both versions. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse, type Socket } from 'node:http';
import type { OutFrame } from '../src/frames.js';
import { concat, encodeOut, FrameSplitter } from '../src/frames3.js';
import { joinLines, Lines } from '../src/framing.js';
import { ModelServer, type Wire } from './model_server.js';

export class RealServer {
  readonly model = new ModelServer();
  /** Method, path and content type or subprotocol of each request. */
  readonly requests: string[] = [];
  #server: Server;
  #sockets = new Set<Socket | ServerResponse>();
  #timers: ReturnType<typeof setTimeout>[] = [];

  constructor() {
    this.#server = createServer((request, response) => void this.#post(request, response));
    this.#server.on('upgrade', (request, socket) => this.#upgrade(request, socket));
  }

  listen(): Promise<string> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${this.#server.address().port}/_minerva/`));
    });
  }

  /** Breaks all connections as a crash would. */
  crash(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  close(): void {
    this.crash();
    this.#timers.forEach(clearTimeout);
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #post(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url} ${request.headers['content-type']}`);
    this.#sockets.add(response);
    const pieces: Uint8Array[] = [];
    for await (const piece of request) pieces.push(piece);
    const { version, frames } = parseBody(concat(pieces), this.model.maxVersion);
    if (version > this.model.maxVersion) {
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.end(';)]}^\ninvalid_frame_type_or_argumentsK\n');
      return;
    }
    let head = true;
    const wire: Wire = {
      kind: 'http',
      write: (frames) => {
        if (head) response.writeHead(200, { 'content-type': version === 3 ? 'application/octet-stream' : 'text/plain' });
        head = false;
        response.write(encode(version, frames) as unknown as string);
      },
      end: () => response.end(),
      after: (ms, run) => this.#timers.push(setTimeout(run, ms)),
    };
    this.model.accept(wire, frames);
  }

  #upgrade(request: IncomingMessage, socket: Socket): void {
    this.requests.push(`${request.method} ${request.url} ${request.headers['sec-websocket-protocol']}`);
    this.#sockets.add(socket);
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    const offered = String(request.headers['sec-websocket-protocol']);
    const version = this.model.maxVersion === 3 && offered.includes('minerva.3') ? 3 : 2;
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: minerva.${version}\r\n\r\n`,
    );
    const wire: Wire = {
      kind: 'websocket',
      write: (frames) => socket.write(encodeMessage(encode(version, frames), version === 3)),
      end: () => socket.end(),
      after: (ms, run) => this.#timers.push(setTimeout(run, ms)),
    };
    let recv: ((frames: readonly OutFrame[]) => void) | undefined;
    const decode = messageDecoder((body) => {
      const frames = version === 3 && recv ? outFrames(body) : parseBody(body, version).frames;
      if (recv) recv(frames);
      else recv = this.model.accept(wire, frames) ?? (() => {});
    }, () => socket.end());
    socket.on('data', decode);
    socket.on('error', () => {});
  }
}

/** Encodes written frames. */
function encode(version: number, frames: readonly OutFrame[]): Uint8Array {
  return version === 3 ? concat(frames.map(encodeOut)) : new TextEncoder().encode(joinLines(frames.map(String)));
}

/** Decodes frames of version 3 to the form in which the machine writes them. */
function outFrames(bytes: Uint8Array): OutFrame[] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  return new FrameSplitter().push(bytes).map(({ kind, body }) => {
    if (kind === 'b') return body.slice();
    return `${decoder.decode(body)}${kind === 'm' ? ' ' : kind}`;
  });
}

/** Splits a request body, or the first message of a WebSocket; the hello has the framing of version 2. */
function parseBody(body: Uint8Array, maxVersion: number): { version: number; frames: OutFrame[] } {
  const end = body.indexOf(10) + 1;
  const hello = new TextDecoder('latin1').decode(body.subarray(0, end));
  const version = hello.includes('"ver":3') ? 3 : 2;
  if (version === 2) return { version, frames: new Lines().push(new TextDecoder('latin1').decode(body)) };
  return { version, frames: maxVersion < 3 ? [] : [hello.slice(0, -1), ...outFrames(body.subarray(end))] };
}

function encodeMessage(body: Uint8Array, isBinary: boolean): Uint8Array {
  const size = body.length;
  const byte = (shift: number): number => (size >>> shift) & 255;
  let head = [size];
  if (size >= 65536) head = [127, 0, 0, 0, 0, byte(24), byte(16), byte(8), byte(0)];
  else if (size >= 126) head = [126, byte(8), byte(0)];
  return concat([Uint8Array.from([isBinary ? 0x82 : 0x81, ...head]), body]);
}

/** Returns a decoder that splits received data into unfragmented WebSocket messages. */
function messageDecoder(onMessage: (body: Uint8Array) => void, onClose: () => void): (data: Uint8Array) => void {
  let buffer = new Uint8Array(0);
  const one = (): boolean => {
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    if (buffer.length < 2) return false;
    const short = view.getUint8(1) & 127;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (buffer.length < start + 4) return false;
    const size = short < 126 ? short : short === 126 ? view.getUint16(2) : Number(view.getBigUint64(2));
    if (buffer.length < start + 4 + size) return false;
    const mask = buffer.slice(start, start + 4);
    const body = buffer.slice(start + 4, start + 4 + size).map((byte, i) => byte ^ (mask[i & 3] ?? 0));
    const opcode = view.getUint8(0) & 15;
    buffer = buffer.slice(start + 4 + size);
    if (opcode === 8) onClose();
    else onMessage(body);
    return true;
  };
  return (data) => {
    const joined = new Uint8Array(buffer.length + data.length);
    joined.set(buffer);
    joined.set(data, buffer.length);
    buffer = joined;
    while (one());
  };
}
