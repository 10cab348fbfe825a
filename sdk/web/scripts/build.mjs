// Builds dist/. `node scripts/build.mjs` writes the files, and source maps, which are not committed. With `--check`, the
// script fails if the committed files differ from the build; in both modes it fails if a script exceeds the size limit.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Script } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

/** Size limits of the client and of each other script in bytes, gzipped: the client must not slow down a page. */
const MAX_GZIPPED = 13.75 * 1024;
/** Limit of the client with version 3 of the protocol. */
const MAX_GZIPPED_3 = 16.75 * 1024;
const MAX_MODULE_GZIPPED = 3 * 1024;
const MAX_HOOK_GZIPPED = 1024;

/** The hook imports the built client, so that a page has one copy. */
const BUILT_CLIENT = {
  name: 'built client',
  setup: ({ onResolve }) => onResolve({ filter: /^\.\/client\.js$/ }, () => ({ path: './client.mjs', external: true })),
};

/** Modules beside the client's own script that it loads when needed: multiplexed HTTP, on few pages only, QAN, sessions. */
const ON_DEMAND = [[/\/mux\/tab\.js$/, './mux.mjs'], [/\/qan\.js$/, './qan.mjs'], [/\/session\.js$/, './session.mjs']];
const BUILT_MODULES = {
  name: 'built modules',
  setup({ onResolve }) {
    for (const [filter, path] of ON_DEMAND) onResolve({ filter }, () => ({ path, external: true }));
  },
};

/**
 * Variable with the URL of a classic script, beside which its modules are: in a page of another origin a relative import would
 * have no base.
 */
const SCRIPT_URL = 'minervaScriptUrl';

/** Rewrites the output of esbuild more briefly: 3 % fewer bytes when gzipped. Assumes nothing about getters or built-ins. */
async function shorten(name, code, map) {
  // In a classic script the directive "use strict" stays.
  const options = { module: name.endsWith('.mjs'), compress: { ecma: 2022, passes: 4 }, format: { ecma: 2022 } };
  return minify(code, map ? { ...options, sourceMap: { content: map, url: `${name}.map` } } : options);
}

/** Property names used only inside src/, which the build may shorten. */
const INTERNAL = new RegExp(`^(${readFileSync('scripts/internal.txt', 'utf8').trim().split(/\s+/).join('|')})$`);

/** Returns the paths of all files below a directory. */
function filesBelow(directory) {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

const check = process.argv.includes('--check');
const files = new Map();
const maps = new Map();

for (const [name, entry, format] of [
  ['client.js', 'src/script.ts', 'iife'],
  ['client.mjs', 'src/client.ts', 'esm'],
  ['client3.js', 'src/script.ts', 'iife'],
  ['client3.mjs', 'src/client.ts', 'esm'],
  ['shared.js', 'src/shared.ts', 'iife'],
  ['shared_worker.js', 'src/shared_worker.ts', 'iife'],
  ['worker.js', 'src/worker.ts', 'iife'],
  ['mux.mjs', 'src/mux/tab.ts', 'esm'],
  ['files.mjs', 'src/files.ts', 'esm'],
  ['qan.mjs', 'src/qan.ts', 'esm'],
  ['session.mjs', 'src/session.ts', 'esm'],
  ['react.mjs', 'src/react.ts', 'esm'],
]) {
  // In the format of a classic script, esbuild would replace the dynamic import of the client by helpers.
  const isWrapped = entry === 'src/script.ts';
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: isWrapped ? 'esm' : format,
    ...(isWrapped ? { banner: { js: `"use strict";(()=>{const ${SCRIPT_URL}=globalThis.document?.currentScript?.src||globalThis.location?.href;` }, footer: { js: '})();' } } : {}),
    target: 'es2022',
    // Class fields in the standard form make this script 40 bytes shorter, and the others longer.
    ...(name === 'shared.js' ? { tsconfigRaw: { compilerOptions: { alwaysStrict: true, useDefineForClassFields: true } } } : {}),
    legalComments: 'none',
    // Names of stored records must not depend on the build.
    ...(name === 'session.mjs' ? {} : { mangleProps: INTERNAL }),
    outfile: join('dist', name),
    // Edges serve the classic scripts, without maps.
    sourcemap: format === 'esm' && name !== 'mux.mjs' ? 'external' : false,
    // Clients of both versions load the same modules.
    define: { VERSION_3: String(!/^client\.|^react/.test(name)) },
    plugins: entry.startsWith('src/script') || entry.startsWith('src/client') ? [BUILT_MODULES] : [],
    ...(name === 'react.mjs' ? { external: ['react'], plugins: [BUILT_CLIENT] } : {}),
  });
  const map = outputFiles.find(({ path }) => path.endsWith('.map'));
  const { text } = outputFiles.at(-1);
  const short = await shorten(name, isWrapped ? text.replace(/import\("\.\/(\w+\.mjs)"\)/g, `import(new URL("$1",${SCRIPT_URL}))`) : text, map?.text);
  files.set(name, `${short.code}\n`);
  if (map) maps.set(`${name}.map`, short.map);
  // Throws for a script that browsers cannot parse.
  if (format === 'iife') new Script(files.get(name), { filename: name });
}

const types = join(tmpdir(), `minerva-types-${process.pid}`);
mkdirSync(types);
try {
  execFileSync(process.execPath, [
    'node_modules/typescript/bin/tsc', '--project', 'tsconfig.types.json', '--outDir', types,
  ], { stdio: 'inherit' });
  for (const path of filesBelow(types)) files.set(join('types', relative(types, path)), readFileSync(path, 'utf8'));
} finally {
  rmSync(types, { recursive: true });
}

let failed = false;
mkdirSync('dist', { recursive: true });
for (const path of filesBelow('dist')) {
  if (files.has(relative('dist', path)) || path.endsWith('.map')) continue;
  if (check) console.error(`${path} is stale: run npm run build`);
  else rmSync(path);
  failed ||= check;
}
for (const [name, text] of files) {
  const path = join('dist', name);
  if (check) {
    let committed = '';
    try {
      committed = readFileSync(path, 'utf8');
    } catch {}
    if (committed !== text) {
      console.error(`${path} differs from the build: run npm run build`);
      failed = true;
    }
  } else {
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, text);
  }
  if (!name.startsWith('types')) {
    const gzipped = gzipSync(text, { level: 9 }).length;
    const limit = name.startsWith('client3') ? MAX_GZIPPED_3 : name.startsWith('client') ? MAX_GZIPPED : name === 'react.mjs' ? MAX_HOOK_GZIPPED : MAX_MODULE_GZIPPED;
    console.log(`${path}: ${text.length} bytes, ${gzipped} gzipped (limit ${limit})`);
    failed ||= gzipped > limit;
  }
}
if (!check) for (const [name, text] of maps) writeFileSync(join('dist', name), text);
process.exitCode = failed ? 1 : 0;
