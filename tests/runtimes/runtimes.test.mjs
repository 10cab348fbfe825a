// The web client in Node.js, Deno and Bun against an edge and a core as processes: on all transports messages arrive in
// both directions exactly once and in order, and the end of the stream has its reason.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Deployment } from '../browsers/deployment.mjs';

const MESSAGES = 100;
/** Timeout in ms of a client; long enough for a debug build on a busy machine. */
const CLIENT_TIMEOUT = 40_000;
const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Commands that run a program in each runtime. Node.js 20 has a WebSocket behind a flag. */
const RUNTIMES = {
  node: [process.execPath, '--experimental-websocket', '--no-warnings'],
  deno: [at('node_modules/.bin/deno'), 'run', '--quiet', '--no-config', '--allow-net=127.0.0.1'],
  bun: [at('node_modules/.bin/bun'), 'run'],
};

let deployment;

before(async () => {
  deployment = await Deployment.start(undefined, ['--max-version', '3'], ['--max-version', '3']);
});

after(() => deployment?.stop());

/** Runs the client; `onEchoed` is called once all messages have returned. Returns the printed cause of the end. */
async function runClient([command, ...options], version, transport, reason, onEchoed = () => {}) {
  const url = `http://127.0.0.1:${deployment.port}/_minerva/`;
  const program = [...options, at('client.mjs'), version, url, transport, MESSAGES, ...(reason ? [reason] : [])];
  const child = spawn(command, program, { stdio: ['ignore', 'pipe', 'inherit'], timeout: CLIENT_TIMEOUT });
  let output = '';
  const exited = new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal)));
  child.stdout.on('data', (data) => {
    const wasEchoed = output.includes('echoed');
    output += data;
    if (!wasEchoed && output.includes('echoed')) onEchoed();
  });
  assert.equal(await exited, 0, output);
  return JSON.parse(output.trim().split('\n').at(-1));
}

for (const [name, command] of Object.entries(RUNTIMES)) {
  const { status, stdout } = spawnSync(command[0], ['--version'], { encoding: 'utf8' });
  if (status !== 0) {
    console.log(`skipped: ${name} cannot be run: its package is not installed or not for this platform`);
    continue;
  }
  console.log(`${name} ${/\d+\.\d+\.\d+/.exec(stdout)}`);

  for (const version of ['2', '3']) {
    for (const transport of ['websocket', 'http-stream', 'long-poll', 'auto']) {
      test(`${name}, version ${version}, ${transport}: messages return, and the stream is closed`, async () => {
        const end = await runClient(command, version, transport, 'done');
        const counts = { count: MESSAGES, acknowledged: MESSAGES, reconnects: 0 };
        assert.deepEqual(end, { reason: 'done', applicationLevel: true, by: 'client', ...counts });
      });
    }
  }

  test(`${name}: the server loses the stream, and the client has the reason`, async () => {
    const end = await runClient(command, '2', 'auto', '', async () => {
      await deployment.core.kill();
      rmSync(deployment.dir, { recursive: true });
      await deployment.core.run();
    });
    assert.deepEqual([end.reason, end.by, end.count], ['state lost', 'server', MESSAGES]);
  });
}
