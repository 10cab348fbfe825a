// The clients of the drill: COUNT streams that send a message each 200 ms, and for each further argument (`die`, `hang`)
// one stream that sends that message once.
//   clients.mjs CLIENT_MODULE URL COUNT [MESSAGE...]
const [module, url, count, ...faults] = process.argv.slice(2);
const { MinervaStream } = await import(module);
const streams = Array.from({ length: Number(count) }, () => new MinervaStream(url));
setInterval(() => { for (const stream of streams) stream.send('tick').catch(() => {}); }, 200);
for (const message of faults) {
  const stream = new MinervaStream(url);
  stream.send(message).catch(() => {});
  setInterval(() => stream.send('after').catch(() => {}), 1000);
}
