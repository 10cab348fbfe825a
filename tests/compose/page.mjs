// Opens the demo page at MINERVA_URL in a browser on each transport; sent lines must return exactly once. Run with
// tests/browsers as the working directory.
import { pathToFileURL } from 'node:url';

const here = pathToFileURL(`${process.cwd()}/`);
const { DemoPage, KINDS, launch } = await import(new URL('demo_page.mjs', here));
const browser = await launch();
try {
  for (const kind of KINDS) {
    const page = await DemoPage.open(browser, { url: process.env.MINERVA_URL }, { kind });
    await page.sendLine('Hello through nginx');
    await page.page.click('#burst');
    await page.expectNothingLost();
    console.log(`${kind}: works`);
    await page.close();
  }
} finally {
  await browser.close();
}
