import { Service } from '@minerva/app';

await new Service().run(async (stream) => {
  await stream.send(`hello, ${stream.credentials}`);
  for await (const message of stream) await stream.send(message);
});
