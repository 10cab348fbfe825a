/** Entry point of the classic script: exports the public API as the global object `Minerva`. */
import { MinervaError, MinervaStream, Qan, QanError, toJson } from './client.js';
import { logProblem } from './log.js';
import { checkOptions, resolveService, type MinervaOptions } from './options.js';

/** Checks the arguments of a stream as its constructor does, for `shared.js`. */
function check(url: string | URL, options: MinervaOptions): URL | null {
  checkOptions(options);
  return resolveService(url);
}

Object.assign(globalThis, { Minerva: { MinervaStream, MinervaError, Qan, QanError, toJson, check, logProblem } });
