// The example of the web client's README, as a page.
import { readFileSync } from 'node:fs';

const readme = readFileSync(new URL('../../sdk/web/README.md', import.meta.url), 'utf8');
export const EXAMPLE = /```html\n([^]*?)```/.exec(readme)[1];
/** A newcomer's patience. */
export const EXAMPLE_LINES = EXAMPLE.trim().split('\n').length;
