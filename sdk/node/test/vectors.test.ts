// Plays sdk/vectors/session.json, recorded from the session machine of the Rust SDK: same inputs, same outputs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AppService, type Command, type Event as CoreEvent } from '../src/contract.js';
import { MessageTooLongError } from '../src/errors.js';
import { type Content, type Event, identityOf } from '../src/events.js';
import { ContractError, QueueError, TooManyGroupsError } from '../src/session/errors.js';
import { Session, type Signal } from '../src/session/session.js';
import type { StreamState } from '../src/session/stream.js';

const FILE = new URL('../../../vectors/session.json', import.meta.url);
const serve = AppService.service.Serve!;

type Json = any; // eslint-disable-line @typescript-eslint/no-explicit-any

/** Stream numbers use all 64 bits, so they are texts. */
const scenarios: { name: string; steps: Json[] }[] = JSON.parse(
  readFileSync(FILE, 'utf8').replace(/(?<=[:[,])\d{15,}(?=[,\]}])/g, '"$&"'),
).scenarios;

class Player {
  private readonly session = new Session(1000);
  private readonly calls = new Map<string, number>();

  play(step: Json): Json {
    const number = String(Object.values(step).find((value) => /^\d{15,}$/.test(String(value))) ?? '');
    const change = (then: (stream: StreamState) => unknown) => outcome(() => this.session.change(number, then), null);
    const { text = '' } = step;
    if ('begin' in step) return this.begin(step.begin);
    if ('end' in step) {
      this.session.end(this.calls.get(step.end)!);
      return none(this.calls.delete(step.end));
    }
    if ('event' in step) return this.event(this.calls.get(step.call)!, step.event);
    if ('take' in step) return this.session.takeCommands(this.calls.get(step.take)!, step.budget ?? Infinity);
    if ('probes' in step) return this.session.probes(this.calls.get(step.probes)!);
    if ('read' in step) return outcome(() => eventJson(this.session.read(number)), 'over');
    if ('send' in step) return this.queue(number, step, (content, stream) => stream.send(content, !step.force));
    if ('answer' in step) return this.queue(number, step, (content, stream) => stream.answer(step.number, content));
    if ('acknowledge' in step) return none(change((stream) => stream.acknowledge(step.number)));
    if ('reset' in step) return none(change((stream) => stream.reset(text, true)));
    if ('finish' in step) return none(change((stream) => stream.finish(text)));
    if ('abandon' in step) return none(change((stream) => stream.abandon()));
    if ('idle' in step) return none(change((stream) => stream.settings.setLimits({ max_idle_ms: step.number })));
    if ('label' in step) return change((stream) => stream.settings.setLabel(text));
    if ('join' in step) return change((stream) => stream.settings.join(text));
    if ('leave' in step) return change((stream) => stream.settings.leave(text));
    if ('confirmed' in step) return outcome(() => this.session.confirmed(number), null);
    if ('changed' in step) {
      return outcome(() => (this.session.isChangeConfirmed(number, step.number) ? 'ok' : 'no room'), 'over');
    }
    if ('flushed' in step) return this.session.isFlushed();
    const unsettled = this.session.unsettledCalls();
    return [...this.calls].filter(([, call]) => unsettled.includes(call)).map(([name]) => name).sort();
  }

  private begin(name: string): Json {
    const { call, held } = this.session.begin();
    this.calls.set(name, call);
    held.sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
    return { held_streams: held, held: this.session.held(held) };
  }

  private event(call: number, event: Json): Json {
    const [decoded] = serve.responseDeserialize(serve.responseSerialize({ events: [event] })).events;
    let broken = false;
    try {
      this.session.onEvent(call, decoded as CoreEvent);
    } catch (error) {
      if (!(error instanceof ContractError)) throw error;
      broken = true;
    }
    return { signals: this.session.takeSignals().map(signalText), broken };
  }

  private queue(number: string, step: Json, then: (content: Content, stream: StreamState) => number): Json {
    const content = typeof step.content === 'string' ? step.content : Buffer.from(step.content.binary, 'base64');
    const problem = this.session.problemOf(number, content);
    if (problem) return problem instanceof MessageTooLongError ? 'too long' : 'unsupported';
    return outcome(() => this.session.change(number, (stream) => then(content, stream)), 'over');
  }
}

const none = (_: unknown) => null;

function outcome(attempt: () => unknown, over: string | null): unknown {
  try {
    return attempt() ?? null;
  } catch (error) {
    if (error instanceof TooManyGroupsError) return 'too many groups';
    if (!(error instanceof QueueError)) throw error;
    return error.problem === 'over' ? over : error.problem;
  }
}

function signalText(signal: Signal): string {
  if (signal.type === 'arrived') return `arrived ${signal.stream} ${signal.assignment}`;
  return `${signal.type} ${signal.stream}${signal.type === 'ended' ? ` ${signal.ended.reason}` : ''}`;
}

function eventJson(event: Event | undefined): Json {
  switch (event?.type) {
    case undefined:
      return 'waiting';
    case 'message': {
      const { content, attempts = null } = event;
      const body = typeof content === 'string' ? { text: content } : { binary: Buffer.from(content).toString('base64') };
      return { event: event.event, ...body, attempts };
    }
    case 'rejoined':
      return { event: event.event, generation: event.generation, from: event.from };
    case 'transport':
      return { transports: event.transports };
    case 'ended':
      return { event: event.event, reason: event.reason, application_level: event.applicationLevel };
    case 'released':
      return 'released';
  }
}

/** Commands as a core receives them, with all defaults. */
const received = (commands: Command[]) => serve.requestDeserialize(serve.requestSerialize({ commands }));

for (const { name, steps } of scenarios) {
  test(name, () => {
    const player = new Player();
    for (const [index, step] of steps.entries()) {
      const out = player.play(step);
      const where = `step ${index}: ${JSON.stringify(step)}`;
      if ('take' in step || 'probes' in step) assert.deepEqual(received(out), received(step.out), where);
      else if ('begin' in step) {
        assert.deepEqual(out.held_streams, step.out.held_streams, where);
        const registers = [out.held, step.out.held].map((held) => received([{ register: { held } }]));
        assert.deepEqual(registers[0], registers[1], where);
      } else assert.deepEqual(out, step.out, where);
    }
  });
}

test('an event of a feature that is not listed is skipped', () => {
  const player = new Player();
  player.play({ begin: 'a' });
  for (const event of [{ registered: {} }, { renewed: { stream: 1 } }, {}]) {
    assert.deepEqual(player.play({ event, call: 'a' }), { signals: [], broken: false });
  }
});

test('the identity of a client has the selected claims', () => {
  const identity = {
    issuer: 'i', subject: 'ann', audience: ['x'], token_id: '', issued_at: '0', expires_at: '5', claims: [{ name: 'roles', value: '["a"]' }],
  };
  const { subject, expiresAt, issuedAt, claims } = identityOf(identity);
  assert.deepEqual([subject, expiresAt.getTime(), issuedAt, claims], ['ann', 5000, undefined, { roles: ['a'] }]);
});
