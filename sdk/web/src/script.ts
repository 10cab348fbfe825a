/** The classic script: what a page finds as `Minerva`. */
import { MinervaError, MinervaStream, QanError, toJson } from './client.js';

Object.assign(globalThis, { Minerva: { MinervaStream, MinervaError, QanError, toJson } });
