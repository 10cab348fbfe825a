// Bundles test/*.test.ts, or the files named by arguments, and runs the bundles with the test runner of Node.js.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

const names = process.argv.length > 2 ? process.argv.slice(2) : readdirSync('test').filter((name) => name.endsWith('.test.ts'));
rmSync('build', { recursive: true, force: true });
await build({
  entryPoints: names.map((name) => `test/${name}`),
  bundle: true,
  platform: 'node',
  format: 'esm',
  outdir: 'build',
  outExtension: { '.js': '.mjs' },
  sourcemap: 'inline',
  define: { VERSION_3: 'true' },
  alias: { react: './test/fake_react.ts' },
});
const bundles = names.map((name) => `build/${name.replace(/ts$/, 'mjs')}`);
const options = ['--experimental-websocket', '--enable-source-maps', '--test', '--test-reporter=spec'];
const run = spawnSync(process.execPath, [...options, ...bundles], { stdio: 'inherit' });
process.exitCode = run.status ?? 1;
