// Extracts the example page from the README of the web client.
import { readFileSync } from 'node:fs';

const readme = readFileSync(new URL('../../sdk/web/README.md', import.meta.url), 'utf8');
export const EXAMPLE = /```html\n([^]*?)```/.exec(readme)[1];
export const EXAMPLE_LINES = EXAMPLE.trim().split('\n').length;
