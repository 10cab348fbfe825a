// Traffic for measurements of s2c pauses: a TCP server behind the gateway example, and the page ticks.html. The server
// sends numbered ticks with the time of sending, and checks that the numbers of the page arrive once and in order.
//   page:   `start EVERY ON OFF` (a tick every so many ms, for ON ms, then none for OFF ms), `0`, `1`, ..., `stop`
//   server: `tick 0 TIME`, `tick 1 TIME`, ..., after `stop` `bye TICKS NUMBERS WRONG`
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const PAGE = readFileSync(new URL('ticks.html', import.meta.url), 'utf8');

/** The page with a build of the client. */
export const pages = (client) => ({ '/ticks.html': PAGE.replace('client.js', client) });

export class TickServer {
  #server = createServer({ noDelay: true }, (socket) => serve(socket));

  static async start() {
    const server = new TickServer();
    await new Promise((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  /** The gateway that connects streams to this server. */
  get app() {
    const backend = `127.0.0.1:${this.#server.address().port}`;
    return { name: 'examples/gateway', options: ['--service', 'default', '--backend', backend] };
  }

  /** Call after the gateway has ended. */
  stop() {
    return new Promise((resolve) => this.#server.close(resolve));
  }
}

function serve(socket) {
  let timer;
  let ticks = 0;
  let numbers = 0;
  let wrong = 0;
  const start = (every, on, off) => {
    const began = Date.now();
    const tick = () => socket.write(`tick ${ticks++} ${Date.now()}\n`);
    tick();
    timer = setInterval(() => (Date.now() - began) % (on + off) < on && tick(), every);
  };
  const lines = createInterface({ input: socket });
  lines.on('line', (line) => {
    const [word, ...rest] = line.split(' ');
    if (word === 'start') start(...rest.map(Number));
    else if (word !== 'stop') wrong += Number(Number(word) !== numbers++);
    else {
      clearInterval(timer);
      socket.write(`bye ${ticks} ${numbers} ${wrong}\n`);
    }
  });
  socket.on('close', () => clearInterval(timer));
  for (const each of [socket, lines]) each.on('error', () => {});
}
