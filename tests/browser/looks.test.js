// How the page looks and whether everybody can use it: every panel in both themes and three sizes. With ENCAUSTIC_SCREENSHOTS set
// to a folder the pictures for the documents are written there: `ENCAUSTIC_SCREENSHOTS=docs/screenshots node --test ...`.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { browse, servePage, Tab, visit } from "./page.js";

const ROOT = join(import.meta.dirname, "../..");
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const SIZES = { phone: [360, 780], laptop: [1280, 800], wall: [2560, 1440] };
// What a person with a screen reader, a keyboard or weak eyes could not use.
const GRAVE = ["critical", "serious"];
// Drawn by the native program, so that the documents show what the model in the box makes.
const PROMPTS = [
  "a yellow star on a purple background",
  "a green diamond in a yellow circle",
  "a house on a green hill",
  "a purple heart",
  "a white moon",
  "a pink ring",
  "three orange circles",
  "a red circle above a blue square",
];

let browser, server, pictures;

before(async () => {
  pictures = await mkdtemp(join(tmpdir(), "encaustic-"));
  const program = process.env.ENCAUSTIC ?? "cargo";
  const words = process.env.ENCAUSTIC ? [] : ["run", "--release", "--locked", "--quiet", "-p", "encaustic", "--"];
  for (const [seed, prompt] of PROMPTS.entries()) {
    const out = join(pictures, `${prompt}.png`);
    await promisify(execFile)(program, [...words, "generate", prompt, "--device", "cpu", "--seed", `${seed + 1}`, "--out", out], { cwd: ROOT });
  }
  server = await servePage(undefined, { pictures });
  browser = await browse();
});

after(async () => {
  await browser?.close();
  server?.close();
  await rm(pictures, { recursive: true, force: true });
});

// What axe finds to be grave, in words.
async function faults(page) {
  await page.evaluate(await readFile(AXE, "utf8"));
  const { violations } = await page.evaluate(() => axe.run(document));
  const grave = violations.filter(({ impact }) => GRAVE.includes(impact));
  return grave.map(({ id, help, nodes }) => `${id}: ${help} (${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")})`);
}

// In the page: small images that can be seen have come, and all images are whole. What is far below is not fetched.
function everyPictureIsThere() {
  const isSeen = (frame) => frame.offsetParent && frame.getBoundingClientRect().top < innerHeight;
  const waits = [...document.querySelectorAll(".small-image")].some((frame) => isSeen(frame) && !frame.querySelector("img"));
  return !waits && [...document.images].every((image) => image.complete);
}

async function keep(page, name) {
  const folder = process.env.ENCAUSTIC_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), animations: "disabled" });
}

for (const colorScheme of ["dark", "light"]) {
  test(`every panel can be used by everybody, ${colorScheme}`, async () => {
    const context = await visit(browser, { colorScheme, reducedMotion: "reduce" });
    const tab = await Tab.open(context, server.address("shown"));
    const { page } = tab;
    assert.deepEqual(await faults(page), [], "the first visit");
    await keep(page, `welcome-laptop-${colorScheme}`);
    await tab.load();
    for (const prompt of PROMPTS) {
      await tab.generate(prompt);
      await page.getByRole("img", { name: `${prompt}, seed` }).first().waitFor();
    }
    // What was said has been read.
    for (const dismiss of await tab.button("Dismiss").all()) await dismiss.click().catch(() => {});
    for (const [size, [width, height]] of Object.entries(SIZES)) {
      await page.setViewportSize({ width, height });
      for (const panel of ["Gallery", "Models", "Settings", "Create"]) {
        await tab.panel(panel);
        await page.mouse.move(1, 1);
        await page.waitForFunction(everyPictureIsThere);
        assert.deepEqual(await faults(page), [], `${panel}, ${size}`);
        const overflows = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflows <= 0, `${panel} is ${overflows} pixels wider than a ${size}`);
        await keep(page, `${panel.toLowerCase()}-${size}-${colorScheme}`);
      }
    }
    assert.deepEqual(tab.complaints, []);
    await context.close();
  });
}
