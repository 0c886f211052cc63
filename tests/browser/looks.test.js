// How the page looks and whether everybody can use it: every panel in both themes and three sizes. With ENCAUSTIC_SCREENSHOTS set
// to a folder the pictures for the documents are written there: `ENCAUSTIC_SCREENSHOTS=docs/screenshots node --test ...`.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { faults, GRAVE } from "./access.js";
import { browse, servePage, Tab, visit } from "./page.js";
import { encaustic } from "./program.js";
import { serveRemote } from "./remote.js";

const SIZES = { phone: [360, 780], laptop: [1280, 800], wall: [2560, 1440] };
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
  for (const [seed, prompt] of PROMPTS.entries()) {
    const out = join(pictures, `${prompt}.png`);
    await encaustic("generate", prompt, "--device", "cpu", "--seed", `${seed + 1}`, "--out", out);
  }
  server = await servePage(undefined, { pictures });
  browser = await browse();
});

after(async () => {
  await browser?.close();
  server?.close();
  await rm(pictures, { recursive: true, force: true });
});

// In the page: small images that can be seen have come, and all images are whole. What is far below is not fetched.
function everyPictureIsThere() {
  const isSeen = (frame) => frame.offsetParent && frame.getBoundingClientRect().top < innerHeight;
  const waits = [...document.querySelectorAll(".small-image")].some((frame) => isSeen(frame) && !frame.querySelector("img"));
  const isFar = (image) => image.loading === "lazy" && !isSeen(image);
  return !waits && [...document.images].every((image) => image.complete || isFar(image));
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
    assert.deepEqual(await faults(page, GRAVE), [], "the first visit");
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
        assert.deepEqual(await faults(page, GRAVE), [], `${panel}, ${size}`);
        const overflows = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflows <= 0, `${panel} is ${overflows} pixels wider than a ${size}`);
        await keep(page, `${panel.toLowerCase()}-${size}-${colorScheme}`);
      }
    }
    assert.deepEqual(tab.complaints, []);
    await context.close();
  });
}

for (const colorScheme of ["dark", "light"]) {
  test(`every panel of a server's page can be used by everybody, ${colorScheme}`, async () => {
    const server = await serveRemote("devices=all");
    const context = await visit(browser, { colorScheme, reducedMotion: "reduce" });
    try {
      for (const prompt of PROMPTS) await server.submit(prompt, { width: 512, height: 512 });
      const failed = await server.submit("a mirror on a wall", { negative: "fail" });
      await server.ended(failed.id);
      const tab = await Tab.open(context, server.address());
      const { page } = tab;
      await tab.panel("Queue");
      await tab.sees("Came to nothing");
      // Something to look at: two at work, some that wait.
      for (const prompt of [...PROMPTS.slice(0, 6)]) await server.submit(prompt, { steps: 400, negative: "slow" });
      await page.locator(".line-card").nth(1).waitFor();
      for (const [size, [width, height]] of Object.entries(SIZES)) {
        await page.setViewportSize({ width, height });
        for (const panel of ["Create", "Queue", "Gallery", "Models", "Settings"]) {
          await tab.panel(panel);
          await page.mouse.move(1, 1);
          await page.waitForFunction(everyPictureIsThere);
          assert.deepEqual(await faults(page, GRAVE), [], `${panel}, ${size}`);
          const overflows = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(overflows <= 0, `${panel} is ${overflows} pixels wider than a ${size}`);
          // The others look as they do without a server.
          if (["Queue", "Models", "Settings"].includes(panel)) await keep(page, `server-${panel.toLowerCase()}-${size}-${colorScheme}`);
        }
      }
      assert.deepEqual(tab.complaints, []);
    } finally {
      await context.close();
      await server.close();
    }
  });
}
