// Model of a server with generations (section 10 of docs/protocol.md), long-polls only: an echo application that retains all
// messages. Serves the built scripts and an empty page. Used by sessions.test.mjs.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';

const SCRIPTS = ['client3.js', 'session.mjs'];
/** Time in ms for which an empty poll is held. */
const POLL_TIME = 1000;

function frame(kind, body) {
  const bytes = Buffer.from(body);
  const length = [];
  let rest = bytes.length;
  for (; rest >= 0x80; rest >>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([kind.charCodeAt(0), ...length, rest]), bytes]);
}

/** Splits frames into pairs of type and text. */
function* framesOf(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const kind = String.fromCharCode(bytes[at++]);
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    yield [kind, bytes.subarray(at, (at += length)).toString()];
  }
}

class Refusal {
  constructor(code) {
    this.code = code;
  }
}

class Stream {
  generation = 0;
  /** Received messages in order, and those behind a gap. */
  received = [];
  #next = 0;
  #waiting = new Map();
  #own = 0;
  /** Wakes held polls. */
  wake = new Set();

  constructor(id, key, born) {
    Object.assign(this, { id, key, born });
  }

  attach({ key, next, gen = 0, own = 0 }) {
    if (gen < this.generation) throw new Refusal('superseded');
    if (key !== this.key && (next ?? key) !== this.key) throw new Refusal('gone');
    if (gen > this.generation) {
      if (!next) throw new Refusal('gone');
      const end = Math.max(-1, ...this.#waiting.keys()) + 1;
      for (let n = Math.max(this.#next, own); n < end; n += 1) if (!this.#waiting.has(n)) this.#waiting.set(n, null);
      Object.assign(this, { generation: gen, key: next });
      this.#own = Math.max(this.#next, end, own);
      this.#deliver();
      for (const wake of [...this.wake]) wake();
    }
    return this.#own;
  }

  recv(number, text) {
    if (number < this.#next || this.#waiting.has(number)) return;
    this.#waiting.set(number, text);
    this.#deliver();
  }

  #deliver() {
    for (let text; (text = this.#waiting.get(this.#next)) !== undefined; this.#next += 1) {
      this.#waiting.delete(this.#next);
      if (text !== null) this.received.push(text);
    }
    for (const wake of [...this.wake]) wake();
  }

  get sack() {
    return `${[...this.#waiting.keys()].sort((a, b) => a - b).join()}|${this.#next - 1}`;
  }
}

export class SessionServer {
  streams = new Map();
  /** Cuts the requests of transports. */
  isDown = false;
  #server;

  static async start() {
    const server = new SessionServer();
    server.#server = createServer((request, response) => void server.#onRequest(request, response));
    await new Promise((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    server.url = `http://127.0.0.1:${server.#server.address().port}`;
    return server;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #onRequest(request, response) {
    if (request.method === 'GET') {
      const name = SCRIPTS.find((script) => request.url === `/_minerva/${script}`);
      const body = name ? readFileSync(new URL(`../../sdk/web/dist/${name}`, import.meta.url)) : '<!doctype html><script src="/_minerva/client3.js"></script>';
      response.writeHead(200, { 'content-type': name ? 'text/javascript' : 'text/html' });
      return response.end(body);
    }
    if (this.isDown) return request.destroy();
    const chunks = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return;
    }
    const bytes = Buffer.concat(chunks);
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    const end = bytes.indexOf('H\n');
    try {
      await this.#exchange(JSON.parse(bytes.subarray(0, end).toString()), bytes.subarray(end + 2), response);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      response.end(Buffer.concat([frame('R', JSON.stringify({ status: 410, code: error.code, title: error.code, do: 'end' })), frame('Y', '')]));
    }
  }

  async #exchange(hello, bytes, response) {
    if (hello.new && !this.streams.has(hello.id)) {
      this.streams.set(hello.id, new Stream(hello.id, hello.key, `${this.streams.size + 1}.${'ab'.repeat(8)}`));
    }
    const stream = this.streams.get(hello.id);
    if (!stream) throw new Refusal('gone');
    const own = stream.attach(hello);
    let number = 0;
    for (const [kind, text] of framesOf(bytes)) {
      if (kind === 'N') number = Number(text);
      else if (kind === 'm') stream.recv(number++, text);
      else if (kind === '!') {
        this.streams.delete(stream.id);
        return response.end(Buffer.concat([frame('W', '{}'), frame('!', text), frame('Y', '')]));
      }
    }
    const adopts = hello.own !== undefined;
    const from = hello.sack === undefined ? (Number.isInteger(hello.rew) ? hello.rew : 0) : Number(hello.sack.split('|')[1]) + 1;
    const welcome = { ...(hello.born ? {} : { born: stream.born }), ...(adopts && { from, own }) };
    const head = [frame('W', JSON.stringify(welcome)), frame('A', stream.sack)];
    // A poll that begins the generation is completed by its welcome.
    if (hello.maxt !== undefined && !adopts && !hello.new && from >= stream.received.length) {
      await new Promise((resolve) => {
        stream.wake.add(resolve);
        setTimeout(resolve, POLL_TIME);
        response.on('close', resolve);
      }).finally(() => stream.wake.clear());
      if ((hello.gen ?? 0) < stream.generation) throw new Refusal('superseded');
      head[1] = frame('A', stream.sack);
    }
    const messages = hello.maxt === undefined ? [] : stream.received.slice(from).map((text) => frame('m', `echo ${text}`));
    if (messages.length > 0) messages.unshift(frame('N', `${from}`));
    response.end(Buffer.concat([...head, ...messages, frame('T', stream.sack), frame('Y', '')]));
  }
}
