// Draws the PNGs of app/icons from icon.svg, with Chromium: `node tools/icons/render.js` from the top of the checkout, where
// playwright-core is to be found (NODE_PATH) and Chromium is /usr/bin/chromium or what CHROMIUM names. The results are checked in.

const { readFileSync } = require("node:fs");
const { chromium } = require("playwright-core");

const svg = readFileSync("app/icons/icon.svg", "utf8");
// A system cuts its own shape out of this one: the ground goes to the edge, and the drop keeps away from it.
const maskable = svg.replace(' rx="14"', "").replace("translate(10.9 10.6) scale(.66)", "translate(15.7 15.4) scale(.51)");

const ICONS = [
  ["icon-192.png", 192, svg],
  ["icon-512.png", 512, svg],
  ["icon-maskable-512.png", 512, maskable],
  // iOS knows no SVG and rounds the corners itself
  ["apple-touch-icon.png", 180, maskable],
];

(async () => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  for (const [name, side, drawing] of ICONS) {
    const page = await browser.newPage({ viewport: { width: side, height: side } });
    await page.setContent(`<style>body { margin: 0 } svg { display: block; width: ${side}px; height: ${side}px }</style>${drawing}`);
    await page.screenshot({ path: `app/icons/${name}`, omitBackground: true });
    await page.close();
  }
  await browser.close();
})();
