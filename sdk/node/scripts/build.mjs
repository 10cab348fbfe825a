// Copies the contract into the package and compiles the sources to dist/.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('..', import.meta.url));
const contract = `${here}../../proto/minerva/app`;
// In an installed package the contract is there already.
if (existsSync(contract)) cpSync(contract, `${here}proto/minerva/app`, { recursive: true });
rmSync(`${here}dist`, { recursive: true, force: true });
execFileSync(process.execPath, [`${here}node_modules/typescript/bin/tsc`, '-p', here], { stdio: 'inherit' });
