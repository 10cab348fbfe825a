/**
 * Version of the wire protocol of a stream: version 3 is requested until the server accepts or refuses it, and a server
 * without version 3 leads to version 2 once. Applies refusals that concern the stream. Used by the stream machine.
 */
import type { Opener, OpenerContext } from './opener.js';
import type { Welcome } from '../frames3.js';
import type { Refusal } from './refusal.js';
import { TAG_LENGTH, type TransportFactory } from './transport_factory.js';
import type { End, Transport } from './types.js';

/** Refusals whose second one in a row ends the stream. */
const REPEATED = ['frame', 'window', 'acked_unsent'];

export class Negotiation {
  constructor(
    readonly context: OpenerContext,
    readonly factory: TransportFactory,
    readonly opener: Opener,
    readonly end: (by: End['by'], reason: string, applicationLevel: boolean) => void,
  ) {}

  /** Records that the server has accepted version 3 on a transport. */
  onWelcome(transport: Transport, { born, from = 0, own = 0 }: Welcome): void {
    const { factory } = this;
    const { channel, outputs } = this.context;
    factory.born ??= born;
    if (!channel.created) outputs.push({ do: 'welcome', from, own, born: factory.born ?? '' });
    if (factory.adopting) {
      channel.begin(from, own);
      transport.nextIn = from;
    }
    factory.adopting = undefined;
    factory.mayFallBack = false;
    transport.tag ||= born?.slice(-TAG_LENGTH) ?? '';
  }

  /** Applies a refusal that ends the stream, or leads to version 2. Returns false if it concerns the transport only. */
  onRefused({ asksReason }: Transport, { code, action }: Refusal): boolean {
    if (action === 'fallback') return this.fallBack();
    if (this.factory.version < 3) return false;
    const { channel, connection } = this.context;
    const { resetting } = channel;
    const isRepeated = REPEATED.includes(code) && channel.onSackMismatch();
    if (action !== 'end' && !isRepeated) return false;
    if (!resetting || code !== 'gone') this.end('server', code, false);
    else if (asksReason) this.end('client', resetting.reason, resetting.applicationLevel);
    return connection.state === 'ended';
  }

  /**
   * Continues with version 2, unless the server has accepted version 3 or a queued message needs version 3. A server
   * without version 3 has created no stream.
   */
  fallBack(): boolean {
    const { factory, opener } = this;
    const { transports, channel, outputs } = this.context;
    if (!factory.mayFallBack || !channel.isForVersion2) return false;
    factory.mayFallBack = false;
    factory.version = 2;
    factory.hellosRefused = factory.hellosSent;
    for (const each of transports.all()) if (each.number >= 0) opener.close(each);
    outputs.push({ do: 'fallback' });
    return true;
  }
}
