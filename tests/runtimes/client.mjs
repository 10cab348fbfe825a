// A program for any JavaScript runtime: opens a stream to an echo service and checks that messages return exactly once
// and in order. Prints `echoed`, then waits for the end of the stream and prints its cause as JSON.
//   client.mjs VERSION URL TRANSPORT MESSAGES [REASON]    with a REASON the program closes the stream itself
import { MinervaStream as Version2 } from '../../sdk/web/dist/client.mjs';
import { MinervaStream as Version3 } from '../../sdk/web/dist/client3.mjs';

const [version, url, transport, messages, reason] = (globalThis.Deno?.args ?? process.argv.slice(2));
const stream = new (version === '3' ? Version3 : Version2)(url, { transport });
const received = [];
const ended = new Promise((resolve) => (stream.onend = ({ data }) => resolve(data)));
const echoed = new Promise((resolve, reject) => {
  stream.onmessage = ({ data }) => {
    if (data !== `message ${received.length}`) reject(new Error(`${data} after ${received.length} messages`));
    if (received.push(data) === Number(messages)) resolve();
  };
});
const sends = Array.from({ length: Number(messages) }, (_, i) => stream.send(`message ${i}`));
await Promise.all([...sends, echoed]);
console.log('echoed');
if (reason) await stream.close(reason);
const { received: count, acknowledged, reconnects } = stream.counters;
console.log(JSON.stringify({ ...(await ended), count, acknowledged, reconnects }));
