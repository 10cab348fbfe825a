// Builds dist/: `node scripts/build.mjs` writes it, with `--check` it only compares, so that the
// committed build is always what the source gives, and small enough.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** The client must not be what makes a page slow. */
const MAX_GZIPPED = 10 * 1024;

/** Names that only the machine's parts use among themselves: the build may shorten them. */
const INTERNAL = new RegExp(`^(${readFileSync('scripts/internal.txt', 'utf8').trim().split(/\s+/).join('|')})$`);

const check = process.argv.includes('--check');
const files = new Map();

for (const [name, entry, format] of [
  ['client.js', 'src/script.ts', 'iife'],
  ['client.mjs', 'src/client.ts', 'esm'],
  // An extra for pages that want it.
  ['shared.js', 'src/shared.ts', 'iife'],
]) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format,
    target: 'es2022',
    legalComments: 'none',
    ...(name === 'shared.js' ? {} : { mangleProps: INTERNAL }),
  });
  files.set(name, outputFiles[0].text);
}

const types = join(tmpdir(), `minerva-types-${process.pid}`);
mkdirSync(types);
try {
  execFileSync(process.execPath, [
    'node_modules/typescript/bin/tsc', '--project', 'tsconfig.types.json', '--outDir', types,
  ], { stdio: 'inherit' });
  for (const entry of readdirSync(types, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    if (entry.isFile()) files.set(join('types', relative(types, path)), readFileSync(path, 'utf8'));
  }
} finally {
  rmSync(types, { recursive: true });
}

let failed = false;
for (const [name, text] of files) {
  const path = join('dist', name);
  if (check) {
    let committed = '';
    try {
      committed = readFileSync(path, 'utf8');
    } catch {}
    if (committed !== text) {
      console.error(`${path} is not what the source gives: run npm run build`);
      failed = true;
    }
  } else {
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, text);
  }
  if (!name.startsWith('types')) {
    const gzipped = gzipSync(text, { level: 9 }).length;
    console.log(`${path}: ${text.length} bytes, ${gzipped} gzipped (limit ${MAX_GZIPPED})`);
    failed ||= gzipped > MAX_GZIPPED;
  }
}
process.exitCode = failed ? 1 : 0;
