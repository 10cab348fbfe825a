// A faulty network path between a browser and a server: relays TCP connections with delay and limited rate, cuts them at
// a fixed age or after a silence, and is offline at times. Records when connections were opened, and the faults.
import { connect, createServer } from 'node:net';

export class LinkProxy {
  /** Delay in ms of each direction. */
  delay = 0;
  /** Bytes per second of each direction of each connection. */
  rate = Infinity;
  /** Age in ms at which connections are cut. */
  cutAfter = Infinity;
  /** Silence in both directions, in ms, after which connections are cut. */
  idleCutAfter = Infinity;
  /** Times at which connections were opened. */
  opened = [];
  /** Times of faults of the network, as `[from, to]`. */
  faults = [];
  #offlineSince = 0;
  #connections = new Set();
  #server;

  /** Starts a path to `port`. */
  static async start(port) {
    const link = new LinkProxy();
    link.port = port;
    link.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => link.#onConnection(socket));
    await new Promise((resolve) => link.#server.listen(0, '127.0.0.1', resolve));
    link.url = `http://127.0.0.1:${link.#server.address().port}`;
    return link;
  }

  /** Takes the path offline: connections, present ones and new ones, carry nothing any more and are never closed. */
  goOffline() {
    this.#offlineSince = Date.now();
    for (const connection of this.#connections) connection.dead = true;
  }

  /** Only new connections work again, as after a change of the address. */
  goOnline() {
    this.faults.push([this.#offlineSince, Date.now()]);
    this.#offlineSince = 0;
  }

  /** Breaks all open connections. */
  cutAll() {
    for (const connection of this.#connections) this.#cut(connection);
  }

  async stop() {
    for (const { close } of this.#connections) close();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #onConnection(socket) {
    this.opened.push(Date.now());
    const upstream = connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const connection = { dead: this.#offlineSince > 0 };
    const age = setTimeout(() => this.#cut(connection), Math.min(this.cutAfter, 2 ** 31 - 1));
    connection.close = () => {
      clearTimeout(age);
      clearTimeout(connection.idle);
      this.#connections.delete(connection);
      for (const each of [socket, upstream]) each.destroy();
    };
    this.#connections.add(connection);
    this.#onActivity(connection);
    this.#relay(connection, socket, upstream);
    this.#relay(connection, upstream, socket);
  }

  #relay(connection, from, to) {
    /** Completion of the last write, and the time at which the rate allows the next one. */
    let last = Promise.resolve();
    let freeAt = 0;
    const later = (size, act) => {
      freeAt = Math.max(freeAt, Date.now()) + (1000 * size) / this.rate;
      const at = freeAt + this.delay;
      last = last.then(() => until(at)).then(() => connection.dead || act());
    };
    from.on('data', (piece) => {
      this.#onActivity(connection);
      later(piece.length, () => to.write(piece));
    });
    from.on('end', () => later(0, () => to.end()));
    from.on('close', () => later(0, connection.close));
    from.on('error', ({ code }) => code === 'ECONNRESET' && !connection.dead && to.resetAndDestroy());
  }

  #onActivity(connection) {
    if (this.idleCutAfter === Infinity) return;
    clearTimeout(connection.idle);
    connection.idle = setTimeout(() => this.#cut(connection), this.idleCutAfter);
  }

  #cut(connection) {
    this.faults.push([Date.now(), Date.now()]);
    connection.close();
  }
}

function until(time) {
  const wait = time - Date.now();
  return wait > 0 ? new Promise((resolve) => setTimeout(resolve, wait)) : undefined;
}
