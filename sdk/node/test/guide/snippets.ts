// The snippets in TypeScript of docs/app-guide.md, as the page shows them. tests/pages compares; guide.test.ts runs them.
import { type Content, type Stream, Streams } from '@minerva/app';

function userOf(token: string): string | undefined {
  return token.startsWith('token of ') ? token.slice(9) : undefined;
}

export async function accept(stream: Stream): Promise<void> {
  const user = userOf(stream.credentials);
  if (user === undefined) {
    stream.reset('log in first');
    return;
  }
  await stream.setLabel(user); // `Streams` addresses the stream by this label
  stream.setMaxIdle(600_000);
  stream.setOutbox(64 << 10, 100); // bytes and messages; less than the default
  for await (const message of stream) await stream.send(message);
}

export async function kinds(stream: Stream): Promise<void> {
  for await (const message of stream) {
    if (typeof message === 'string') await stream.send(`${message.length} UTF-16 units`);
    else await stream.send(message); // the same bytes, binary
  }
}

export async function groups(stream: Stream, api: string): Promise<void> {
  await stream.join('lobby'); // a later group send of any program reaches the stream

  const streams = new Streams(api); // from this program, or any other one
  const sent = await streams.sendToGroup('lobby', ['the game begins']);
  for (const number of sent.full) {
    console.log(`the outbox of stream ${number} is full: the client did not get the message`);
  }
  await streams.send({ label: 'ann' }, ['it is your turn']);
  streams.close();
}

export async function suspect(stream: Stream): Promise<void> {
  if ((stream.attempts ?? 0) > 3) {
    stream.reset('this message cannot be processed');
    return;
  }
  for await (const message of stream) await stream.send(message);
}

export async function exactlyOnce(stream: Stream, database: Database): Promise<void> {
  for await (const event of stream.events()) {
    if (event.type !== 'message') continue;
    await database.transaction((transaction) => {
      if (event.event >= transaction.nextEvent(stream.number)) {
        transaction.insertEffect(event.content);
        transaction.setNextEvent(stream.number, event.event + 1);
      }
    });
    await stream.answer(event, `stored ${event.event}`);
  }
}

/** Stands for a database. */
export class Database {
  readonly effects: Content[] = [];
  private readonly next = new Map<bigint, number>();

  async transaction(change: (transaction: Database) => void): Promise<void> {
    change(this);
  }

  nextEvent(stream: bigint): number {
    return this.next.get(stream) ?? 0;
  }

  setNextEvent(stream: bigint, event: number): void {
    this.next.set(stream, event);
  }

  insertEffect(content: Content): void {
    this.effects.push(content);
  }
}
