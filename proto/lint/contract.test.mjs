// Checks the contracts with buf, and that the checks find what they are there for.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const proto = dirname(here);
const buf = join(here, 'node_modules', '.bin', 'buf');
const released = join(here, 'contract.binpb');
const app = 'minerva/app/v1/app.proto';

// Runs buf on a folder of contracts; gives what it complains about.
function complaints(folder, ...args) {
  const { status, stdout, stderr, error } = spawnSync(buf, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
  assert.ifError(error);
  assert.equal(stderr, '');
  assert.equal(status === 0, stdout === '');
  return stdout;
}

const lint = (folder) => complaints(folder, 'lint');
const breaking = (folder) => complaints(folder, 'breaking', '--against', released);

// A copy of the contracts in which one text of app.proto is another.
function changed(t, text, other) {
  const folder = mkdtempSync(join(tmpdir(), 'minerva-contract-'));
  t.after(() => rmSync(folder, { recursive: true }));
  cpSync(join(proto, 'minerva'), join(folder, 'minerva'), { recursive: true });
  cpSync(join(proto, 'buf.yaml'), join(folder, 'buf.yaml'));
  const file = join(folder, app);
  const before = readFileSync(file, 'utf8');
  assert.ok(before.includes(text), `${app} has no "${text}"`);
  writeFileSync(file, before.replace(text, other));
  return folder;
}

test('the contracts keep the rules', () => {
  assert.equal(lint(proto), '');
});

test('the contracts are those of the last release, or more', () => {
  assert.equal(breaking(proto), '');
});

test('additions are no break', (t) => {
  const field = '\n  // Something new.\n  uint64 new_field = 99;\n}';
  const folder = changed(t, '\n}\n\n// Command is', `${field}\n\n// Command is`);
  assert.equal(breaking(folder), '');
  assert.equal(lint(folder), '');
});

for (const [what, text, other] of [
  ['a comment is missing', '  // The core has come to own a partition.\n', ''],
  ['a value has not the name of its enum', 'ENDED_BY_CLIENT = 1', 'CLIENT = 1'],
  ['a field is not in lower case', 'uint32 outbox_bytes = 1', 'uint32 outboxBytes = 1'],
]) {
  test(`it is found that ${what}`, (t) => assert.notEqual(lint(changed(t, text, other)), ''));
}

for (const [what, text, other] of [
  ['a field has another number', 'bool paused = 5', 'bool paused = 6'],
  ['a field has another type', 'uint32 stream_window_bytes = 3', 'string stream_window_bytes = 3'],
  ['a field has another name', 'uint64 next_event = 4', 'uint64 next_number = 4'],
  ['a value is gone', '  // Raw TCP.\n  TRANSPORT_KIND_TCP = 1;\n', ''],
  ['a call is gone', 'rpc Serve(stream ServeRequest) returns (stream ServeResponse);', ''],
]) {
  test(`it is a break that ${what}`, (t) => assert.notEqual(breaking(changed(t, text, other)), ''));
}
