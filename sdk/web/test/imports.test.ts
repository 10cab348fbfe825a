/** Structure of src/: no import circles, and pure modules without I/O, clock or randomness. Type-only imports count. */
import test from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';

/** Directories and files that belong to the pure part of the client. */
const PURE = /^(stream\/|window\/|mux\/(format|schedule|liveness|ports)\.ts|shared\/outbox\.ts|session\/(state|host)\.ts|(stream|message|errors|frames|frames3|framing|hello|sack|numbers|backoff|inbox|qan)\.ts$)/;
/** Globals that a pure module must not use. */
const GLOBALS = 'Date|performance|Math\\.random|crypto|setTimeout|queueMicrotask|fetch|WebSocket|localStorage|document';
const IMPURE = new RegExp(`\\b(${GLOBALS})\\b[.(]`);

const sources = new Map<string, string>();
for (const name of readdirSync('src', { recursive: true })) {
  if (name.endsWith('.ts')) sources.set(name, readFileSync(`src/${name}`, 'utf8'));
}

/** Returns the files that a file imports, relative to src/. */
function importsOf(name: string): string[] {
  const source = sources.get(name);
  assert(source !== undefined, `${name} does not exist`);
  const base = `http://src/${name}`;
  const paths = [...source.matchAll(/\bfrom '(\.[^']*)\.js'/g)].map(([, path = '']) => new URL(path, base).pathname);
  return paths.map((path) => `${path.slice(1)}.ts`);
}

/** Returns the first import circle reachable from the last file of `path`; empty without one. */
function circle(path: readonly string[], done: Set<string>): readonly string[] {
  const name = path.at(-1) ?? '';
  for (const next of importsOf(name)) {
    if (path.includes(next)) return [...path.slice(path.indexOf(next)), next];
    if (done.has(next)) continue;
    const found = circle([...path, next], done);
    if (found.length > 0) return found;
  }
  done.add(name);
  return [];
}

test('imports form no circle', () => {
  assert(sources.size > 25, `${sources.size} files`);
  const done = new Set<string>();
  for (const name of sources.keys()) assert.deepEqual(circle([name], done), []);
});

test('pure modules import only pure modules', () => {
  for (const name of sources.keys()) {
    if (!PURE.test(name)) continue;
    for (const imported of importsOf(name)) assert(PURE.test(imported), `${name} imports ${imported}`);
  }
});

test('pure modules use no sockets, timers, clock or randomness', () => {
  for (const [name, source] of sources) {
    if (!PURE.test(name)) continue;
    const code = source.replace(/\/\*[^]*?\*\//g, '').replace(/\/\/.*/g, '');
    assert(!IMPURE.test(code), `${name}: ${IMPURE.exec(code)?.[0]}`);
  }
});
