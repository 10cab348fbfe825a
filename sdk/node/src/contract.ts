// The contract minerva.app.v1: loaded from the package, and the types of its messages. Numbers of 64 bits are decimal texts,
// since stream numbers and claim tags use all bits; event and send numbers fit into a JavaScript number.
import { fileURLToPath } from 'node:url';
import { type Client, type ClientDuplexStream, type Metadata, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const PROTO = fileURLToPath(new URL('../proto', import.meta.url));
const TREE = fileURLToPath(new URL('../../proto', import.meta.url));
const loaded = loadSync(['minerva/app/v1/app.proto', 'minerva/app/v1/streams.proto'], {
  includeDirs: [PROTO, TREE],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const definitions = (loadPackageDefinition(loaded) as any).minerva.app.v1;

type Constructor<T> = { new (address: string, credentials: unknown, options?: object): T; service: Definition };
interface Definition {
  [method: string]: {
    requestSerialize(value: object): Buffer;
    requestDeserialize(bytes: Buffer): ServeRequest;
    responseSerialize(value: object): Buffer;
    responseDeserialize(bytes: Buffer): ServeResponse;
  };
}

export interface AppClient extends Client {
  Serve(metadata: Metadata): ClientDuplexStream<ServeRequest, ServeResponse>;
}

export const AppService: Constructor<AppClient> = definitions.AppService;
export const StreamService: Constructor<Client> = definitions.StreamService;

/** A number of 64 bits as a decimal text. */
export type Long = string;

export interface Registered {
  outbox_messages: number;
  max_message_bytes: number;
  core_id: string;
  features: string[];
}

export interface SendState {
  stream: Long;
  next_send: Long;
  bytes_left: number;
  messages_left: number;
  paused: boolean;
  tag: Long;
}

export interface Header {
  name: string;
  value: string;
}

export interface Identity {
  issuer: string;
  subject: string;
  audience: string[];
  token_id: string;
  issued_at: Long;
  expires_at: Long;
  claims: Header[];
}

export interface Started {
  stream: Long;
  stream_id: string;
  resumed: boolean;
  next_event: Long;
  next_send: Long;
  credentials: string;
  headers: Header[];
  peer_address: string;
  transport: string;
  started_at_ms: Long;
  send_state: SendState | null;
  epoch: Long;
  label: string;
  groups: string[];
  created_tag: Long;
  assignment: Long;
  attempts: number;
  finishing: boolean;
  accepts: string;
  finish_reason: string;
  identity: Identity | null;
}

export interface MessageContent {
  content?: 'text' | 'binary';
  text?: string;
  binary?: Buffer;
}

export interface Messages {
  stream: Long;
  first_event: Long;
  messages: Buffer[];
  tag: Long;
  attempts: number;
  contents: MessageContent[];
}

export interface Rejoined {
  stream: Long;
  event: Long;
  generation: number;
  asked: string;
  asked_number: Long;
  from: Long;
  complete: boolean;
  credentials: string;
  headers: Header[];
  peer_address: string;
  transport: string;
}

export interface TransportChanged {
  stream: Long;
  transport_number: Long;
  attached: boolean;
  primary: boolean;
  transport: string;
  transports: number;
}

export interface Ended {
  stream: Long;
  event: Long;
  reason: string;
  application_level: boolean;
  by: string;
}

export interface SendRefused {
  stream: Long;
  first: Long;
  reason: string;
  next_send: Long;
  detail: string;
}

export interface Event {
  event?: keyof Event;
  registered?: Registered;
  started?: Started;
  messages?: Messages;
  transport_changed?: TransportChanged;
  ended?: Ended;
  send_state?: SendState;
  send_refused?: SendRefused;
  released?: { stream: Long; lost: boolean; epoch: Long };
  partition_owned?: { partition: number; epoch: Long; streams_made: Long };
  partition_left?: { partition: number };
  group_refused?: { stream: Long; group: string };
  command_refused?: { stream: Long; detail: string };
  synced?: { stream: Long; token: Long };
  rejoined?: Rejoined;
}

export interface SetLimits {
  stream?: Long;
  max_idle_ms?: number;
  outbox_bytes?: number;
  outbox_messages?: number;
  ack_timeout_ms?: number;
  compress?: boolean;
  retained_messages?: number;
  retained_bytes?: number;
  retained_age_ms?: number;
  hold?: boolean;
}

export interface Send {
  stream: Long;
  first: number;
  messages: Buffer[];
  contents: MessageContent[];
  acknowledge?: number;
}

export interface Held {
  stream: Long;
  created_tag: Long;
  next_event: number;
  event_tag: Long;
  next_send: number;
  send_tag: Long;
}

export interface Command {
  register?: object;
  acknowledge?: { stream: Long; event: number };
  send?: Send;
  reset?: { stream: Long; reason: string; application_level: boolean };
  set_limits?: SetLimits;
  set_label?: { stream: Long; label: string };
  join_group?: { stream: Long; group: string };
  leave_group?: { stream: Long; group: string };
  finish?: { stream: Long; reason: string };
  sync?: { stream: Long; token: number };
}

export interface ServeRequest {
  commands: Command[];
}

export interface ServeResponse {
  events: Event[];
}
