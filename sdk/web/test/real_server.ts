/** The model server on real sockets: HTTP, and the subset of WebSocket that the client uses. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse, type Socket } from 'node:http';
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
    const decoder = new TextDecoder('latin1');
    let body = '';
    for await (const piece of request) body += decoder.decode(piece);
    let head = true;
    const wire: Wire = {
      kind: 'http',
      write: (frames) => {
        if (head) response.writeHead(200, { 'content-type': 'text/plain' });
        head = false;
        response.write(joinLines(frames));
      },
      end: () => response.end(),
      after: (ms, run) => this.#timers.push(setTimeout(run, ms)),
    };
    this.model.accept(wire, new Lines().push(body));
  }

  #upgrade(request: IncomingMessage, socket: Socket): void {
    this.requests.push(`${request.method} ${request.url} ${request.headers['sec-websocket-protocol']}`);
    this.#sockets.add(socket);
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: minerva.2\r\n\r\n`,
    );
    const wire: Wire = {
      kind: 'websocket',
      write: (frames) => socket.write(encodeMessage(joinLines(frames))),
      end: () => socket.end(),
      after: (ms, run) => this.#timers.push(setTimeout(run, ms)),
    };
    let recv: ((frames: readonly string[]) => void) | undefined;
    const decode = messageDecoder((text) => {
      const frames = new Lines().push(text);
      if (recv) recv(frames);
      else recv = this.model.accept(wire, frames) ?? (() => {});
    }, () => socket.end());
    socket.on('data', decode);
    socket.on('error', () => {});
  }
}

function encodeMessage(text: string): Uint8Array {
  const body = new TextEncoder().encode(text);
  const size = body.length;
  const byte = (shift: number): number => (size >>> shift) & 255;
  let head = [size];
  if (size >= 65536) head = [127, 0, 0, 0, 0, byte(24), byte(16), byte(8), byte(0)];
  else if (size >= 126) head = [126, byte(8), byte(0)];
  return Uint8Array.from([0x81, ...head, ...body]);
}

/** Returns a decoder that splits received data into unfragmented WebSocket messages. */
function messageDecoder(onText: (text: string) => void, onClose: () => void): (data: Uint8Array) => void {
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
    else onText(new TextDecoder().decode(body));
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
