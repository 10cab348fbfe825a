// The parrot: an app service in TypeScript that says every string again; examples/README.md tells how to run it.
//
// N:STRING answers event N, reset:REASON ends the stream, burst:N is answered by N strings, the credentials refuse:REASON
// are not welcome. What matters is that nothing is lost or doubled; proto/minerva/app/v1/app.proto is the contract.
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition, type ClientDuplexStream } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const { MINERVA_SERVICE: service = "default", MINERVA_API: cores = "http://127.0.0.1:7400" } = process.env;
const instance = process.env.MINERVA_INSTANCE || randomUUID(); // the same as long as this process lives
const protos = process.env.MINERVA_PROTO || fileURLToPath(new URL("../../../proto", import.meta.url));
// Numbers of streams have all 64 bits, so they are strings here; the other numbers fit into a JavaScript number.
const loaded = loadSync("minerva/app/v1/app.proto", { includeDirs: [protos], longs: String, enums: String, defaults: true, oneofs: true });
const { AppService } = (loadPackageDefinition(loaded) as any).minerva.app.v1;
const options = { "grpc.max_receive_message_length": 8 << 20, "grpc.keepalive_time_ms": 10_000,
  "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 3_000 };
type Call = ClientDuplexStream<any, any>;
const streams = new Map<string, Stream>(); // all that this instance holds; they outlive calls, and move from core to core

/** The strings that answer a string. */
function say(event: number, string: string): string[] {
  const burst = /^burst:(\d{1,5})$/.exec(string);
  return burst ? Array.from({ length: Number(burst[1]) }, (_, number) => `${number}`) : [`${event}:${string}`];
}

/** One client's stream on the call on which it was started last. Of what was before only `answers` remain. */
class Stream {
  number: string; id: string; epoch: number;
  expected: number; // the next event, 0 being Started itself
  done: number; // the last event that is answered and acknowledged on this call
  sent: number; queued: number; // the next string to send, and the next to be thought of
  room: any;

  /** `answers`, by event: the number of the first string, and all of them; kept until the event is acknowledged. */
  constructor(started: any, public call: Call | null, public answers: Map<number, { first: number; strings: string[] }>) {
    [this.number, this.id, this.epoch, this.room] = [started.stream, started.streamId, Number(started.epoch), started.sendState];
    this.expected = Math.max(Number(started.nextEvent), 1);
    this.done = this.expected - 1;
    this.sent = this.queued = Number(started.nextSend);
    this.forget(this.done);
    if (started.credentials.startsWith("refuse:")) this.reset(started.credentials.slice(7));
    else if (started.nextEvent === "0") this.tell({ acknowledge: { stream: this.number, event: 0 } });
  }

  tell(command: object) {
    this.call!.write({ commands: [command] });
  }

  reset(reason: string) {
    this.answers.clear();
    this.tell({ reset: { stream: this.number, reason: reason.slice(0, 255), applicationLevel: true } });
  }

  forget(done: number) {
    for (const event of this.answers.keys()) if (event <= done) this.answers.delete(event);
  }

  onString(event: number, string: string) {
    if (event < this.expected) return;
    this.expected = event + 1;
    if (string.startsWith("reset:")) return this.reset(string.slice(6));
    // An event that comes again, after a lost call, is not thought of again: it has the answer that it had.
    const answer = this.answers.get(event) ?? { first: this.queued, strings: say(event, string) };
    this.answers.set(event, answer);
    this.queued = answer.first + answer.strings.length;
  }

  onRoom(room: any) {
    this.room = room;
    if (Number(room.nextSend) === this.sent) this.forget(this.done); // all is durable, and acknowledged with it
  }

  /** Sends what there is room for, once all before is confirmed. An answer's end carries the acknowledgement of its
   * event: the core takes both or neither, so an event that comes again after a crash has no answer yet. */
  send() {
    const { nextSend, paused, bytesLeft, stringsLeft } = this.room;
    if (Number(nextSend) !== this.sent || paused || bytesLeft === 0) return;
    const batch: Buffer[] = [];
    let [size, done, full] = [0, 0, false];
    for (const [event, { first, strings }] of this.answers) {
      if (full || event <= this.done || event >= this.expected) continue;
      for (const string of strings.slice(this.sent + batch.length - first)) { // of a burst, what was not taken yet
        size += string.length;
        full = batch.length === stringsLeft || (batch.length > 0 && size > Math.min(bytesLeft, 128 << 10));
        if (full) break;
        batch.push(Buffer.from(string));
      }
      if (!full) done = event;
    }
    const acknowledge = done > 0 ? done : undefined;
    if (batch.length > 0) this.tell({ send: { stream: this.number, first: this.sent, strings: batch, acknowledge } });
    else if (done > 0) this.tell({ acknowledge: { stream: this.number, event: done } });
    this.sent += batch.length;
    this.done = Math.max(this.done, done);
  }
}

function onEvent(kind: string | undefined, body: any, call: Call) {
  const stream = streams.get(body?.stream);
  if (kind === "registered") return console.log(`parrot: serving \`${service}\``);
  if (kind === "partitionOwned" || kind === "partitionLeft") {
    for (const stream of [...streams.values()].filter(({ number }) => BigInt(number) >> 48n === BigInt(body.partition))) {
      if (kind === "partitionLeft") stream.call = stream.call === call ? null : stream.call; // another core will start it
      else if (stream.epoch < Number(body.epoch)) streams.delete(stream.number); // not started: it is elsewhere, or lost
    }
  } else if (kind === "started") {
    if (stream?.call && stream.call !== call && Number(body.epoch) < stream.epoch) return; // from a former owner
    streams.set(body.stream, new Stream(body, call, stream?.id === body.streamId ? stream!.answers : new Map()));
  } else if (stream?.call === call) { // what another call says of it does not count
    if (kind === "strings") body.strings.forEach((string: Buffer, i: number) => stream.onString(Number(body.firstEvent) + i, `${string}`));
    else if (kind === "sendState") stream.onRoom(body);
    else if (kind === "sendRefused" && body.reason !== "SEND_REFUSED_REASON_ENDED") {
      console.error(`parrot: a Send was refused: ${body.reason}`); // cannot be; all is told again on the next call
      return call.cancel();
    } else if (kind === "ended") stream.tell({ acknowledge: { stream: body.stream, event: body.event } });
    if (kind === "ended" || kind === "released") streams.delete(body.stream);
    else if (kind === "strings" || kind === "sendState") stream.send();
  }
}

/** Makes one call to a core after the other, with random pauses that grow while it cannot be reached. */
function serve(client: any, address: string, pause = 100) {
  const call: Call = client.serve(); // what waits to be written is bounded, as each stream has one Send under way
  const heldStreams = [...streams.values()].filter(({ call }) => call === null).map(({ number }) => number);
  call.write({ commands: [{ register: { service, instanceId: instance, heldStreams } }] });
  call.on("data", ({ events }: any) => {
    pause = 100;
    for (const event of events) onEvent(event.event, event[event.event], call); // undefined: newer than this program
  });
  call.on("error", (error) => console.error(`parrot: the call to ${address} is lost: ${error.message}`));
  call.on("end", () => { // after the last event, however the call ended
    for (const stream of streams.values()) if (stream.call === call) stream.call = null;
    setTimeout(() => serve(client, address, Math.min(2 * pause, 3000)), Math.random() * pause);
  });
}

for (const address of cores.replaceAll("http://", "").split(",")) {
  serve(new AppService(address.trim(), credentials.createInsecure(), options), address);
}
// What is not acknowledged comes again, to another instance or to this one when it is started again.
process.on("SIGTERM", () => process.exit(0));
