/** React hook: life of the stream, renderings, and the double mount of StrictMode. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { useMinerva, type MinervaView } from '../src/react.js';
import { Component } from './fake_react.js';
import { RealServer } from './real_server.js';

async function within(condition: string, holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i += 1) {
    if (i > 1000) assert.fail(condition);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

for (const isStrict of [false, true]) {
  test(`a component has one stream until its unmount${isStrict ? ', in StrictMode too' : ''}`, async () => {
    const server = new RealServer();
    const url = await server.listen();
    const received: unknown[] = [];
    const component: Component<MinervaView> = new Component(
      () => useMinerva(url, { transport: 'websocket', onmessage: (text) => received.push(text) }),
      isStrict,
    );
    await within('open', () => component.view.state === 'open');
    const { stream } = component.view;
    assert(stream);
    await stream.send('x');
    server.model.streams.get(stream.id)?.send('hello');
    await within('a message', () => received.length === 1);
    assert.equal(component.view.stream, stream);
    assert.deepEqual([server.model.created, server.requests.length], [1, 1], 'the server sees one mount');
    void stream.send('last');
    const model = server.model.streams.get(stream.id);
    component.unmount();
    await within('the end', () => stream.end !== null);
    assert.deepEqual([model?.delivered, model?.reset], [['x', 'last'], 'unmounted']);
    server.close();
  });
}

test('another URL or option opens another stream, a rendering alone does not', async () => {
  const server = new RealServer();
  const base = await server.listen();
  let url = base;
  const component: Component<MinervaView> = new Component(() => useMinerva(url, { transport: 'websocket' }));
  await within('open', () => component.view.state === 'open');
  const first = component.view.stream;
  component.render();
  assert.equal(component.view.stream, first);
  url = `${base}other/`;
  component.render();
  await within('another stream', () => component.view.stream !== first && component.view.state === 'open');
  await within('the end', () => first?.end?.reason === 'unmounted');
  component.unmount();
  await within('the end', () => component.view.stream?.end !== null);
  server.close();
});

test('problems reach the component', async () => {
  const component: Component<MinervaView> = new Component(() => useMinerva('http://127.0.0.1:9/', { transport: 'websocket' }));
  await within('a problem', () => component.view.problem !== null);
  assert.equal(component.view.problem?.code, 'blocked');
  component.unmount();
  await within('the end', () => component.view.stream?.end !== null);
});
