/** Entry point of the classic script: exports the public API as the global object `Minerva`. */
import { MinervaError, MinervaStream, QanError, toJson } from './client.js';

Object.assign(globalThis, { Minerva: { MinervaStream, MinervaError, QanError, toJson } });
