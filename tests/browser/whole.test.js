// The whole, as a user would click: the page with the real worker, from the first visit to the picture, against the native
// program; then a device that is lost, a reload, and a worker that breaks down. It needs WebGPU, and a software GPU takes its time.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browse, servePage, Tab, visit } from "./page.js";
import { decode, drop, psnr } from "./png.js";
import { encaustic } from "./program.js";
import { serveProgram } from "./remote.js";

const PROMPT = "a red circle above a blue square";
const DEMO = "Encaustic's model in the box";
// A software GPU compiles and computes on the processor.
const PATIENCE = { timeout: 400_000 };

let browser, server, folder;

before(async () => {
  server = await servePage();
  browser = await browse();
  folder = await mkdtemp(join(tmpdir(), "encaustic-"));
});

after(async () => {
  await browser?.close();
  server?.close();
  await rm(folder, { recursive: true, force: true });
});

// What the native program draws.
async function native() {
  const out = join(folder, "native.png");
  const words = ["generate", PROMPT, "--device", "cpu", "--seed", "1", "--steps", "4", "--out", out];
  await encaustic(...words);
  return decode(await readFile(out));
}

// The pixels of a canvas or an image of the page.
async function pixels(picture) {
  const { width, height, rgba } = await picture.evaluate(async (element) => {
    if (element instanceof HTMLImageElement) await element.decode();
    const [width, height] = [element.naturalWidth ?? element.width, element.naturalHeight ?? element.height];
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(element, 0, 0);
    return { width, height, rgba: Array.from(context.getImageData(0, 0, width, height).data) };
  });
  return { width, height, rgb: drop(rgba, 4) };
}

test("from the first visit to the picture, over a lost device, a reload and a broken worker", async (t) => {
  const context = await visit(browser);
  const tab = await Tab.open(context, server.address("real"), { panel: "Models" });
  const since = (begun) => `${((performance.now() - begun) / 1000).toFixed(1)} s`;
  const loaded = async () => await tab.page.locator("#panel-models").getByText("Loaded", { exact: true }).first().waitFor(PATIENCE);

  // The device that the worker will open is to be lost later on.
  await tab.page.workers()[0].evaluate(() => {
    const open = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...words) { return (self.device = await open.apply(this, words)); };
  });

  let begun = performance.now();
  await tab.button(`Load ${DEMO}`, { exact: true }).click();
  await tab.dialog.getByText("MIT OR Apache-2.0").waitFor(PATIENCE);
  await tab.dialog.getByRole("button", { name: "Fetch and load" }).click();
  await loaded();
  t.diagnostic(`loaded in ${since(begun)}`);
  assert.equal(server.shards.length, 1);

  await tab.panel("Create");
  await tab.page.getByLabel("Steps", { exact: true }).and(tab.page.getByRole("textbox")).fill("4");
  await tab.page.locator("#param-seed").fill("1");
  begun = performance.now();
  await tab.generate(PROMPT);
  const picture = tab.page.getByRole("img", { name: `${PROMPT}, seed 1` }).first();
  await picture.waitFor(PATIENCE);
  t.diagnostic(`drawn in ${since(begun)}`);
  const alike = psnr(await pixels(picture), await native());
  t.diagnostic(`PSNR ${alike.toFixed(1)} dB`);
  assert.ok(alike >= 40, `${alike} dB`);

  await tab.panel("Models");
  begun = performance.now();
  await tab.page.workers().at(-1).evaluate(() => self.device.destroy());
  await tab.sees(/The graphics device was lost.*started again/);
  await loaded();
  t.diagnostic(`there again after the device was lost in ${since(begun)}`);

  // The next visit finds the picture and the model where they were.
  begun = performance.now();
  await tab.page.reload();
  await tab.panel("Gallery");
  await tab.page.locator("#panel-gallery").getByRole("img", { name: PROMPT }).first().waitFor();
  await tab.panel("Models");
  await loaded();
  t.diagnostic(`there again after a reload in ${since(begun)}`);

  begun = performance.now();
  await tab.page.workers().at(-1).evaluate(() => void setTimeout(() => { throw new Error("a trap"); }));
  await tab.sees(/The engine broke down: a trap.*started again/);
  await loaded();
  t.diagnostic(`there again after a trap in ${since(begun)}`);
  assert.equal(server.shards.length, 1, "nothing was fetched a second time");
  assert.deepEqual(tab.complaints.filter((words) => !words.includes("a trap")), []);
  await context.close();
});

test("the page inside the program: the same picture, in the gallery too", async (t) => {
  const remote = await serveProgram();
  const context = await visit(browser);
  try {
    const tab = await Tab.open(context, remote.own(), { panel: "Create" });
    const begun = performance.now();
    await tab.page.locator(".model-chip.is-ready").waitFor(PATIENCE);
    await tab.page.getByLabel("Steps", { exact: true }).and(tab.page.getByRole("textbox")).fill("4");
    await tab.page.locator("#param-seed").fill("1");
    await tab.generate(PROMPT);
    const picture = tab.page.getByRole("img", { name: `${PROMPT}, seed 1` }).first();
    await picture.waitFor(PATIENCE);
    t.diagnostic(`drawn in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    const alike = psnr(await pixels(picture), await native());
    assert.ok(alike >= 40, `${alike} dB`);
    await tab.panel("Gallery");
    await tab.page.locator("#panel-gallery").getByRole("img", { name: PROMPT }).first().waitFor();
    await tab.page.goto(`${remote.own()}api/docs/`);
    await tab.sees("/api/v1/jobs");
    assert.deepEqual(tab.complaints, []);
  } finally {
    await context.close();
    await remote.close();
  }
});

test("the bench tells how long the parts of a picture take", async (t) => {
  const context = await visit(browser);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(`${server.address("real")}?bench`);
  await page.getByRole("table").waitFor(PATIENCE);
  const { load, cold, warm } = JSON.parse(await page.locator("#bench").textContent());
  t.diagnostic(`device ${load.device.toFixed(1)} s, first picture ${cold.total.toFixed(1)} s, second ${warm.total.toFixed(1)} s, a step ${warm.step.toFixed(2)} s`);
  for (const { text, step, vae, total } of [cold, warm]) assert.ok(text > 0 && step > 0 && vae > 0 && total > 25 * step * 0.5, `${total}`);
  assert.deepEqual(complaints, []);
  await context.close();
});
