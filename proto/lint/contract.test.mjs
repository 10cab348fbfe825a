// Lints the contracts with buf, and checks that buf detects each kind of violation.

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

// Runs buf on a folder of contracts and returns its findings.
function findings(folder, ...args) {
  const { status, stdout, stderr, error } = spawnSync(buf, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
  assert.ifError(error);
  assert.equal(stderr, '');
  assert.equal(status === 0, stdout === '');
  return stdout;
}

const lint = (folder) => findings(folder, 'lint');
const breaking = (folder) => findings(folder, 'breaking', '--against', released);

// A copy of the contracts with one replacement in app.proto.
function edited(t, text, other) {
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

test('the contracts follow the lint rules', () => {
  assert.equal(lint(proto), '');
});

test('the contracts are compatible with the last release', () => {
  assert.equal(breaking(proto), '');
});

test('an addition is compatible', (t) => {
  const field = '\n  // A new field.\n  uint64 new_field = 99;\n}';
  const folder = edited(t, '\n}\n\n// Command is', `${field}\n\n// Command is`);
  assert.equal(breaking(folder), '');
  assert.equal(lint(folder), '');
});

for (const [violation, text, other] of [
  ['a missing comment', '  // The core owns a partition from now on.\n', ''],
  ['a value without the prefix of its enum', 'ENDED_BY_CLIENT = 1', 'CLIENT = 1'],
  ['a field name with an upper-case letter', 'uint32 outbox_bytes = 1', 'uint32 outboxBytes = 1'],
]) {
  test(`lint reports ${violation}`, (t) => assert.notEqual(lint(edited(t, text, other)), ''));
}

for (const [change, text, other] of [
  ['another field number', 'bool paused = 5', 'bool paused = 6'],
  ['another field type', 'uint32 stream_window_bytes = 3', 'string stream_window_bytes = 3'],
  ['another field name', 'uint64 next_event = 4', 'uint64 next_number = 4'],
  ['a removed value', '  // Raw TCP.\n  TRANSPORT_KIND_TCP = 1;\n', ''],
  ['a removed call', 'rpc Serve(stream ServeRequest) returns (stream ServeResponse);', ''],
]) {
  test(`the comparison reports ${change}`, (t) => assert.notEqual(breaking(edited(t, text, other)), ''));
}
