// An edge rejects every request of a page from another origin: fetch, form post and WebSocket.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { launch } from './demo_page.mjs';
import { Deployment } from './deployment.mjs';
import { FaultProxy } from './fault_proxy.mjs';
import { PAGES } from './echo_page.mjs';

const ID = 'a-stream-of-the-victims';
const FRAMES = `${JSON.stringify({ ver: 2, tnum: 0, id: ID, new: true, ming: false, maxia: 0, seenack: '|-1' })}H\n0N\nforged \n`;

let deployment;
let proxy;
let foreign;
let browser;
let page;

before(async () => {
  [deployment, browser] = await Promise.all([Deployment.start(), launch()]);
  proxy = await FaultProxy.start(deployment.port, PAGES);
  foreign = await FaultProxy.start(deployment.port, PAGES);
  page = await browser.newPage();
  await page.goto(`${foreign.url}/echo.html`);
});

after(async () => {
  await browser?.close();
  await proxy?.stop();
  await foreign?.stop();
  await deployment?.stop();
});

/** Returns whether the stream exists, by a request without Origin as programs send. */
async function exists() {
  const hello = { ver: 2, tnum: 1, id: ID, ming: false, maxia: 0, seenack: '|-1' };
  const url = `http://127.0.0.1:${deployment.port}/_minerva/io/`;
  const response = await fetch(url, { method: 'POST', body: `${JSON.stringify(hello)}H\n` });
  return !(await response.text()).includes('stream_attach_failure');
}

test('a cross-origin fetch is refused, with and without CORS', async () => {
  for (const init of [
    { mode: 'cors', headers: { 'content-type': 'application/octet-stream' } },
    { mode: 'cors', headers: { 'content-type': 'text/plain' } },
    { mode: 'no-cors', headers: { 'content-type': 'text/plain' } },
  ]) {
    const got = await page.evaluate(([url, body, init]) => fetch(url, { method: 'POST', body, ...init }).then(
      (response) => response.text(),
      (error) => error.name,
    ), [`${proxy.url}/_minerva/io/`, FRAMES, init]);
    // A page may read the refusal, and nothing else.
    assert(['TypeError', '', 'this origin may not use this service\n'].includes(got), got);
    assert.equal(await exists(), false, JSON.stringify(init));
  }
});

test('a cross-origin form post is refused', async () => {
  await page.evaluate(([url, frames]) => {
    const attributes = { method: 'POST', action: url, enctype: 'text/plain', target: 'frame' };
    const form = Object.assign(document.createElement('form'), attributes);
    const frame = Object.assign(document.createElement('iframe'), { name: 'frame' });
    const input = Object.assign(document.createElement('textarea'), { name: frames, value: '' });
    form.append(input);
    document.body.append(frame, form);
    form.submit();
  }, [`${proxy.url}/_minerva/io/`, FRAMES]);
  for (const start = Date.now(); !proxy.posts.some((body) => body.includes('forged')); await sleep(20)) {
    assert(Date.now() - start < 5000, 'the form was not posted');
  }
  await sleep(200);
  assert.equal(await exists(), false);
});

test('a cross-origin WebSocket is refused', async () => {
  const got = await page.evaluate(([url, frames]) => new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onopen = () => socket.send(frames);
    socket.onmessage = ({ data }) => resolve(data);
    socket.onerror = () => resolve('refused');
  }), [`${proxy.url.replace('http', 'ws')}/_minerva/ws`, FRAMES]);
  assert.equal(got, 'refused');
  assert.equal(await exists(), false);
});

for (const credentials of ['same-origin', 'include', 'omit']) {
  test(`a cross-origin client reports the refused origin and slows its attempts, credentials: ${credentials}`, async () => {
    proxy.clear();
    const [state, codes] = await page.evaluate(async ([url, credentials]) => {
      const stream = new Minerva.MinervaStream(`${url}/_minerva/`, { credentials });
      const codes = [];
      stream.onproblem = ({ data }) => codes.push(data?.code);
      const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      for (let i = 0; i < 200 && !codes.includes('origin'); i += 1) await wait(100);
      await wait(2000);
      const result = [stream.state, [...codes]];
      stream.reset();
      return result;
    }, [proxy.url, credentials]);
    assert.equal(state, 'connecting');
    // With cookies the browser hides the refusal; the diagnosis repeats a request without them.
    assert.equal(codes.at(-1), 'origin', codes.join());
    assert(proxy.upgrades + proxy.posts.length < 40, `${proxy.upgrades} and ${proxy.posts.length} attempts`);
  });
}

test('the same origin is accepted', async () => {
  await page.goto(`${proxy.url}/echo.html`);
  const got = await page.evaluate(([body]) => fetch('/_minerva/io/', { method: 'POST', body }).then((r) => r.text()), [FRAMES]);
  assert(got.includes('|0A'), got);
  assert.equal(await exists(), true);
});
