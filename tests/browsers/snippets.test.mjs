// The pages of README.md, sdk/web/README.md and docs/app-guide.md as a new user types them: saved literally, with the ports of
// the test, in an empty folder behind a plain web server. Programs of these pages are compiled by the tests of sdk/app.
import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from './demo_page.mjs';
import { Deployment } from './deployment.mjs';
import { FaultProxy } from './fault_proxy.mjs';

/** Returns the only page of a document. */
function pageOf(document) {
  const text = readFileSync(new URL(`../../${document}`, import.meta.url), 'utf8');
  const pages = [...text.matchAll(/^```html\n(.*?)^```$/gms)].map(([, page]) => page);
  assert.equal(pages.length, 1, `${pages.length} pages in ${document}`);
  return pages[0];
}

let browser;
let folder;
let site;
let deployment;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'minerva-snippets-'));
  site = createHttpServer((_, response) => response.setHeader('content-type', 'text/html').end(readFileSync(join(folder, 'index.html'))));
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  [browser, deployment] = await Promise.all([
    launch(),
    Deployment.start(undefined, ['--origins', `http://127.0.0.1:${site.address().port}`]),
  ]);
});

after(async () => {
  await browser?.close();
  await deployment?.stop();
  site?.closeAllConnections();
  site?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens a page; returns it with its console lines and a function that waits for one of them. */
async function open(url) {
  const page = await browser.newPage();
  const lines = [];
  page.on('console', (message) => lines.push(message.text()));
  page.on('pageerror', (error) => lines.push(`error: ${error}`));
  await page.goto(url);
  const shows = async (text) => {
    for (const start = Date.now(); !lines.some((line) => line.includes(text)); await page.waitForTimeout(20)) {
      assert(Date.now() - start < 20_000, `no line with ${text}: ${lines.join('\n')}`);
    }
    assert.deepEqual(lines.filter((line) => line.startsWith('error')), []);
  };
  return { page, shows };
}

const siteUrl = (host = '127.0.0.1') => `http://${host}:${site.address().port}/`;

test('the page of README.md', async () => {
  writeFileSync(join(folder, 'index.html'), pageOf('README.md').replaceAll(':8080', `:${deployment.port}`));
  const { page, shows } = await open(siteUrl());
  await shows('durable on the server');
  await shows('message: hello');
  await page.close();
});

test('the page of README.md from an origin that is not listed: the console has the reason', async () => {
  writeFileSync(join(folder, 'index.html'), pageOf('README.md').replaceAll(':8080', `:${deployment.port}`));
  const { page, shows } = await open(siteUrl('localhost'));
  await shows('this origin may not use this service');
  await page.close();
});

test('the page of README.md while nothing listens: the console has the reason', async () => {
  writeFileSync(join(folder, 'index.html'), pageOf('README.md').replace('127.0.0.1:8080/_minerva/client.js', `127.0.0.1:${deployment.port}/_minerva/client.js`).replaceAll(':8080', ':9'));
  const { page, shows } = await open(siteUrl());
  await shows('no connection to 127.0.0.1:9');
  await page.close();
});

test('the page of sdk/web/README.md', async () => {
  const text = pageOf('sdk/web/README.md').replaceAll('/_minerva/', `http://127.0.0.1:${deployment.port}/_minerva/`);
  writeFileSync(join(folder, 'index.html'), text);
  const { page } = await open(siteUrl());
  await page.waitForFunction(() => out.textContent === 'Hello!' && out.title === 'Stored durably on the server.', undefined, { timeout: 20_000 });
  await page.close();
});

test('the page of the TCP gateway in docs/app-guide.md', async () => {
  const backend = createServer((socket) => socket.on('data', (data) => String(data) === 'PING\r\n' && socket.write('+PONG\r\n')));
  await new Promise((resolve) => backend.listen(0, '127.0.0.1', resolve));
  const gateway = { name: 'examples/gateway', options: ['--backend', `127.0.0.1:${backend.address().port}`] };
  const own = await Deployment.start(gateway);
  const proxy = await FaultProxy.start(own.port, { '/index.html': pageOf('docs/app-guide.md') });
  try {
    const { page, shows } = await open(`${proxy.url}/index.html`);
    await shows('+PONG');
    await page.close();
  } finally {
    await proxy.stop();
    await own.stop();
    backend.close();
  }
});
