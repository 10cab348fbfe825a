// The parrot: an app service in TypeScript that answers every message with a copy, without loss or duplicates.
// examples/README.md describes the behaviour and the start.
import { type Message, Service, SettingError, type Stream, StreamOverError } from '@minerva/app';

const { MINERVA_SERVICE: name = 'default', MINERVA_INSTANCE: instanceId } = process.env;

/**
 * Serves one stream from the current position to the end. An event that an earlier process left unacknowledged is delivered
 * again and has no answer yet, because `answer` does both in one durable step.
 */
async function parrot(stream: Stream): Promise<void> {
  if (stream.credentials.startsWith('refuse:')) stream.reset(stream.credentials.slice(7));
  for await (const event of stream.events()) {
    if (event.type !== 'message') continue;
    try {
      await answer(stream, event);
    } catch (error) {
      // The stream is over: the next event is the end.
      if (!(error instanceof StreamOverError)) throw error;
    }
  }
}

async function answer(stream: Stream, event: Message): Promise<void> {
  const { content: message } = event;
  if (typeof message !== 'string') return stream.answer(event, message);
  if (message.startsWith('reset:')) return reset(stream, message.slice(6));
  const burst = /^burst:(\d{1,5})$/.exec(message);
  if (!burst) return stream.answer(event, `${event.event}:${message}`);
  // `send` waits for a slow client. The next event acknowledges this one, so a burst interrupted by a crash is repeated from the
  // start. An app that must not repeat messages sends a single answer, or stores the progress.
  for (let number = 0; number < Number(burst[1]); number += 1) await stream.send(`${number}`);
}

function reset(stream: Stream, reason: string): void {
  try {
    stream.reset(reason);
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    stream.reset('no reason');
  }
}

// A constant id of this instance, such as the name of a host or pod: the streams return at once after a restart.
const service = new Service({ name, ...(instanceId ? { instanceId } : {}) });
await service.start();
console.log(`parrot: serving \`${name}\``);
await service.run(parrot);
