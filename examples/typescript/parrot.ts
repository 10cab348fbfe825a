// The parrot: an app service in TypeScript that answers every message with a copy, without loss or duplicates.
// examples/README.md describes the behaviour and the start; proto/minerva/app/v1/app.proto is the contract.
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition, type ClientDuplexStream } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const { MINERVA_SERVICE: service = "default", MINERVA_API: cores = "http://127.0.0.1:7400" } = process.env;
const instanceId = process.env.MINERVA_INSTANCE || randomUUID(); // constant while this process lives
const protos = process.env.MINERVA_PROTO || fileURLToPath(new URL("../../../proto", import.meta.url));
// Stream numbers use all 64 bits and are decimal texts here; all other numbers fit into a JavaScript number.
const loaded = loadSync("minerva/app/v1/app.proto", { includeDirs: [protos], longs: String, enums: String, defaults: true, oneofs: true });
const { AppService } = (loadPackageDefinition(loaded) as any).minerva.app.v1;
const options = { "grpc.max_receive_message_length": 8 << 20, "grpc.keepalive_time_ms": 10_000, "grpc.max_reconnect_backoff_ms": 1_000 };
type Call = ClientDuplexStream<any, any>;
const streams = new Map<string, Stream>(); // all streams of this instance; they survive calls and move between cores

/** Returns the messages that answer a message. */
function answersTo(event: number, message: string): string[] {
  const burst = /^burst:(\d{1,5})$/.exec(message);
  return burst ? Array.from({ length: Number(burst[1]) }, (_, number) => `${number}`) : [`${event}:${message}`];
}

/** The stream of a client, attached to the call of its last Started. Unconfirmed answers survive a new attachment. */
class Stream {
  readonly id: string;
  readonly epoch: number;
  room: any;
  delivered: number; // last event delivered on this call, or acknowledged before
  answered: number; // last event with an answer
  first: number; // number of the first message in `answers`
  sent: number; // next message to send; earlier ones are in flight
  answers: { message: string; event: number; isLast: boolean }[];

  constructor(readonly number: string, started: any, public call: Call | null, old?: Stream) {
    [this.id, this.epoch, this.room] = [started.streamId, Number(started.epoch), started.sendState];
    this.first = this.sent = Number(started.nextSend);
    this.delivered = Math.max(Number(started.nextEvent), 1) - 1;
    this.answered = Math.max(this.delivered, old?.answered ?? 0);
    this.answers = old?.answers.slice(this.first - old.first) ?? [];
    if (started.credentials.startsWith("refuse:")) this.reset(started.credentials.slice(7));
  }

  write(command: object) {
    this.call!.write({ commands: [command] });
  }

  reset(reason: string) {
    this.write({ reset: { stream: this.number, reason: reason.slice(0, 255), applicationLevel: true } });
  }

  onMessage(event: number, message: string) {
    this.delivered = event;
    if (message.startsWith("reset:")) return this.reset(message.slice(6));
    if (event <= this.answered) return; // redelivered after a lost call
    const messages = answersTo(event, message);
    messages.forEach((message, i) => this.answers.push({ message, event, isLast: i === messages.length - 1 }));
    this.answered = event;
    if (this.answers.length === 0) this.write({ acknowledge: { stream: this.number, event } }); // no message can carry it
  }

  /** Sends messages within the credit, one Send at a time. The last message of an answer carries the acknowledgement of
   * its event: the core takes both or neither, so an event redelivered after a crash has no answer yet. */
  send() {
    const { nextSend, paused, bytesLeft, messagesLeft } = this.room;
    if (Number(nextSend) !== this.sent || paused || bytesLeft === 0) return;
    this.answers.splice(0, this.sent - this.first); // durable
    this.first = this.sent;
    const batch: Buffer[] = [];
    let [size, acknowledge] = [0, undefined as number | undefined];
    for (const { message, event, isLast } of this.answers.slice(0, messagesLeft)) {
      size += message.length;
      if (event > this.delivered || (batch.length > 0 && size > Math.min(bytesLeft, 128 << 10))) break;
      batch.push(Buffer.from(message));
      if (isLast) acknowledge = event;
    }
    if (batch.length > 0) this.write({ send: { stream: this.number, first: this.first, messages: batch, acknowledge } });
    this.sent += batch.length;
  }
}

function onEvent(kind: string | undefined, body: any, call: Call) {
  const stream = streams.get(body?.stream);
  if (kind === "registered") console.log(`parrot: serving \`${service}\``);
  else if (kind === "partitionOwned") {
    for (const { number, call: other, epoch } of [...streams.values()]) { // streams not started by the owner are gone
      const isHere = BigInt(number) >> 48n === BigInt(body.partition);
      if (isHere && other !== call && epoch <= Number(body.epoch)) streams.delete(number);
    }
  } else if (kind === "started" && (!stream?.call || stream.call === call || Number(body.epoch) >= stream.epoch)) {
    streams.set(body.stream, new Stream(body.stream, body, call, stream?.id === body.streamId ? stream : undefined));
  } else if (stream?.call === call) { // events of other calls are stale
    if (kind === "messages") body.messages.forEach((message: Buffer, i: number) => stream.onMessage(Number(body.firstEvent) + i, `${message}`));
    else if (kind === "sendState") stream.room = body;
    else if (kind === "sendRefused" && body.reason === "SEND_REFUSED_REASON_INVALID") stream.reset("invalid message"); // for good
    else if (kind === "sendRefused" && body.reason !== "SEND_REFUSED_REASON_ENDED") {
      console.error(`parrot: a Send was refused: ${body.reason}`); // a defect; the next call repeats all commands
      return call.cancel();
    } else if (kind === "ended") stream.write({ acknowledge: { stream: body.stream, event: body.event } });
    if (kind === "ended" || kind === "released") streams.delete(body.stream);
    else stream.send();
  }
}

/** Makes one call to a core after another. */
function serve(address: string, client = new AppService(address, credentials.createInsecure(), options)) {
  const call: Call = client.serve(); // bounded, with one Send in flight per stream
  call.write({ commands: [{ register: { service, instanceId } }] });
  call.on("data", ({ events }: any) => {
    for (const event of events) onEvent(event.event, event[event.event], call); // undefined: an event newer than this program
  });
  call.on("error", (error) => console.error(`parrot: the call to ${address} failed: ${error.message}`));
  call.on("end", () => { // after the last event of any ending
    for (const stream of streams.values()) if (stream.call === call) stream.call = null;
    setTimeout(() => serve(address, client), Math.random() * 1000);
  });
}

for (const address of cores.replaceAll("http://", "").split(",")) serve(address);
process.on("SIGTERM", () => process.exit(0)); // unanswered events are redelivered
