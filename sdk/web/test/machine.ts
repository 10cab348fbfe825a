/** Drives the stream machine alone, frame by frame. Used by the tests of single situations. */
import { StreamMachine } from '../src/stream.js';
import type { End, Kind, Output } from '../src/stream/types.js';
import { ID } from './simulation.js';

export function machine(kind: Kind | 'auto' = 'websocket'): StreamMachine {
  return new StreamMachine({ id: ID, kind, random: () => 0.5 });
}

/** Drains outputs and opens requested WebSockets. */
export function start(stream: StreamMachine, now = 0): Output[] {
  const outputs = stream.drain(now);
  for (const output of outputs) {
    if (output.do === 'open' && output.kind === 'websocket') stream.onOpened(output.key, now);
  }
  return [...outputs, ...stream.drain(now)];
}

/** Returns the written frames, of all transports or of one. */
export function written(outputs: readonly Output[], key?: number): string[] {
  return outputs.flatMap((output) => ('frames' in output && output.key === (key ?? output.key) ? output.frames.map(String) : []));
}

/** Returns the end of the stream among the outputs. */
export function endIn(outputs: readonly Output[]): End | undefined {
  return outputs.find((output) => output.do === 'end')?.end;
}
