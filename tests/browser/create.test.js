// The panel that makes pictures: a first visit, the form, the queue, the viewer, keys, and what assistive technology finds. One list
// for both kinds of engine, as the page cannot tell a worker from a server.

import assert from "node:assert/strict";
import { faults } from "./access.js";
import { both, WORKER } from "./both.js";

const onPage = both();

const finished = (tab, count) =>
  tab.page.waitForFunction((count) => document.querySelectorAll(".thumb").length === count, count, { timeout: 20_000 });
const sees = (tab, selector) => tab.page.locator(selector).filter({ visible: true }).first().waitFor();

onPage("a first visit explains itself, and one press fetches the model and makes a picture", async (tab) => {
  await tab.sees("made on your own machine");
  await tab.sees(/small model, 20\.8 MB, once/);
  await tab.button("a red circle above a blue square").click();
  await finished(tab, 1);
  await tab.sees("128 × 128 · seed 1234");
  assert.equal(await tab.page.getByLabel("Prompt", { exact: true }).inputValue(), "a red circle above a blue square");
  await tab.sees("7 / 75");
}, WORKER("a server has its models"));

onPage("each setting is a control, with the model's own value where the form has none", async (tab) => {
  await tab.load();
  await tab.panel("Create");
  const steps = tab.page.getByLabel("Steps", { exact: true }).and(tab.page.getByRole("textbox"));
  assert.equal(await steps.getAttribute("placeholder"), "4");
  await steps.fill("0");
  await tab.sees("Use a whole number from 1 to 1000, or leave it to the model.");
  await tab.page.getByLabel("Width", { exact: true }).fill("100");
  await tab.page.keyboard.press("Control+Enter");
  await tab.sees("Steps and Width cannot be what they say");
  assert.equal(await tab.page.locator(".thumb").count(), 0);
  await tab.button("Steps: leave it to the model").click();
  await tab.button("160 × 96").click();
  await tab.button("Swap width and height").click();
  await tab.generate("a fox");
  await finished(tab, 1);
  await tab.sees("96 × 160");
  // what one family has alone is not shown for another
  await tab.button("Advanced").click();
  await tab.page.getByLabel("Guidance rescale", { exact: true }).first().waitFor();
  assert.equal(await tab.page.getByLabel("Crop left").count(), 0);
});

onPage("a seed is drawn, taken again, and counted up", async (tab) => {
  await tab.load();
  const seed = tab.page.locator("#param-seed");
  await tab.generate("a fox");
  await finished(tab, 1);
  assert.equal(await seed.inputValue(), "");
  await tab.button("The last picture's seed").click();
  const drawn = BigInt(await seed.inputValue());
  await tab.sees(`seed ${drawn}`);
  await tab.button("The next seed").click();
  assert.equal(BigInt(await seed.inputValue()), BigInt.asUintN(64, drawn + 1n));
  await seed.fill("18446744073709551615");
  await seed.blur();
  assert.equal(await seed.inputValue(), "18446744073709551615");
  await tab.button("Draw a seed for each picture").click();
  assert.equal(await seed.inputValue(), "");
});

onPage("the seed after a batch is one that was not taken, and a comma is a point", async (tab) => {
  await tab.load();
  await tab.panel("Create");
  await tab.page.locator("#param-batch").fill("3");
  await tab.generate("a fox");
  await finished(tab, 3);
  const shown = await tab.page.locator(".thumb").evaluateAll((thumbs) => thumbs.map((thumb) => thumb.ariaLabel.match(/seed (\d+)/)[1]));
  const first = shown.map(BigInt).reduce((least, seed) => (seed < least ? seed : least));
  await tab.button("The next seed").click();
  assert.equal(BigInt(await tab.page.locator("#param-seed").inputValue()), first + 3n);
  const guidance = tab.page.locator("#param-cfg");
  await guidance.fill("7,5");
  assert.equal(await guidance.getAttribute("aria-invalid"), null);
  assert.equal(await guidance.inputValue(), "7,5");
  await guidance.blur();
  assert.equal(await guidance.inputValue(), "7.5");
});

onPage("the focus stays where the work is, and a key that is held is pressed once", async (tab) => {
  const focused = async (id) => await tab.page.waitForFunction((id) => document.activeElement.id === id, id);
  await tab.load();
  await tab.panel("Create");
  await tab.page.locator("#param-steps").fill("7");
  await tab.button("Steps: leave it to the model").focus();
  await tab.page.keyboard.press("Enter");
  await focused("param-steps");
  await tab.page.getByLabel("Prompt", { exact: true }).fill("endless");
  await tab.page.keyboard.down("Control");
  for (let times = 0; times < 4; times++) await tab.page.keyboard.down("Enter");
  await tab.page.keyboard.up("Enter");
  await tab.page.keyboard.up("Control");
  await tab.sees(/Step \d+ of 1000/);
  assert.equal(await tab.page.locator(".queue-item").count(), 1);
  await tab.page.locator(".run").getByRole("button", { name: "Cancel" }).focus();
  await tab.page.keyboard.press("Enter");
  await tab.page.locator(".run").getByRole("button", { name: "Cancel" }).waitFor({ state: "detached" });
  await focused("generate");
});

onPage("what is asked for while the model comes is made when it is there, each as the form was", async (tab) => {
  await tab.panel("Models");
  await tab.button("Load A slow one", { exact: true }).first().click();
  await tab.dialog.getByRole("button", { name: "Fetch and load" }).click();
  await tab.generate("a fox");
  await tab.sees("It begins as soon as the model is loaded.");
  await tab.generate("a hare");
  await tab.page.getByLabel("Prompt", { exact: true }).fill("something else");
  await finished(tab, 2);
  await tab.button("Show: a fox, seed 1234").waitFor();
  await tab.button("Show: a hare, seed 1234").waitFor();
}, WORKER("a server has its models"));

onPage("who stops the model does not want its pictures either", async (tab) => {
  await tab.panel("Models");
  await tab.button("Load A slow one", { exact: true }).first().click();
  await tab.dialog.getByRole("button", { name: "Fetch and load" }).click();
  await tab.generate("a fox");
  await tab.sees("It begins as soon as the model is loaded.");
  await tab.generate("a hare");
  await tab.page.locator(".queue-item").nth(1).getByRole("button", { name: "Cancel" }).click();
  await tab.page.locator(".queue-item").nth(1).waitFor({ state: "detached", timeout: 3000 });
  await tab.page.locator(".easel").getByRole("button", { name: "Stop" }).click();
  await tab.sees("made on your own machine");
  assert.equal(await tab.page.locator(".queue-item").count(), 0);
}, WORKER("a server has its models"));

onPage("jobs wait for each other, and each can be cancelled; Esc stops the one that runs", async (tab) => {
  await tab.load();
  await tab.generate("endless one");
  await tab.sees(/Step \d+ of 1000/);
  await tab.sees(/it\/s/);
  await tab.generate("two");
  await tab.generate("three");
  const items = tab.page.locator(".queue-item");
  await items.nth(2).waitFor();
  await items.nth(1).getByRole("button", { name: "Cancel" }).click();
  await tab.page.locator("h2", { hasText: "Queue" }).click();
  await tab.page.keyboard.press("Escape");
  await finished(tab, 1);
  await tab.sees("three");
  await items.first().waitFor({ state: "detached" });
});

onPage("a job that fails says why, until it is put away", async (tab) => {
  await tab.load();
  await tab.generate("fail");
  await tab.sees("The GPU has too little memory for this picture; make it smaller.");
  await tab.button("Put away").click();
  await tab.doesNotSee("The GPU has too little memory");
});

onPage("the viewer goes from picture to picture by keys, and closes by Esc", async (tab) => {
  await tab.load();
  await tab.panel("Create");
  await tab.page.locator("#param-batch").fill("3");
  await tab.generate("a fox");
  await finished(tab, 3);
  await sees(tab, ".frame-button");
  await tab.button("Open in the viewer").first().click();
  await tab.sees("1 of 3");
  await tab.page.keyboard.press("ArrowRight");
  await tab.sees("2 of 3");
  await tab.page.keyboard.press("ArrowLeft");
  await tab.sees("1 of 3");
  await tab.page.keyboard.press("z");
  await sees(tab, ".viewer-stage.is-exact");
  await tab.page.keyboard.press("Escape");
  await tab.page.locator("dialog.viewer").waitFor({ state: "hidden" });
});

onPage("keys are told, the form and the theme last", async (tab) => {
  await tab.page.keyboard.press("?");
  await tab.dialog.getByText("Cancel the picture that is being made").waitFor();
  await tab.page.keyboard.press("Escape");
  await tab.dialog.waitFor({ state: "hidden" });
  await tab.page.keyboard.press("/");
  await tab.page.keyboard.type("a hare");
  await tab.button("Theme: as the system").click();
  await tab.button("Theme: light").click();
  await tab.page.reload();
  await tab.page.locator('html[data-theme="dark"]').waitFor();
  const prompt = await tab.page.getByLabel("Prompt", { exact: true }).elementHandle();
  await tab.page.waitForFunction((prompt) => prompt.value === "a hare", prompt);
});

onPage("without WebGPU the page says which browsers have it, and fetches nothing", async (tab, context) => {
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
  await tab.page.reload();
  await tab.sees("It needs a browser with WebGPU");
  await tab.generate("a fox");
  await tab.sees(/Chrome and Edge have it from version 113/);
  assert.equal(await tab.page.getByText("Loading").count(), 0);
}, WORKER("a server needs none of the browser's"));

for (const [name, viewport, colorScheme] of [["phone", { width: 360, height: 780 }, "dark"], ["desk", { width: 1280, height: 800 }, "light"]]) {
  onPage(`nothing stands in anybody's way at work: ${name}, ${colorScheme}`, async (tab) => {
    const look = async (where) => {
      const width = await tab.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(width, 0, `${where} is wider than the screen`);
      assert.deepEqual(await faults(tab.page), [], where);
    };
    await look("a first visit");
    await tab.load();
    await look("models");
    await tab.generate("endless");
    await tab.sees(/Step \d+ of 1000/);
    await tab.generate("fail");
    await look("a running job");
    await tab.page.locator(".run").getByRole("button", { name: "Cancel" }).click();
    await tab.sees("The GPU has too little memory");
    await tab.generate("a fox");
    await finished(tab, 1);
    await tab.button("Advanced").click();
    await tab.page.getByLabel("Width", { exact: true }).fill("1");
    await look("a picture and a fault");
    await tab.button("Open in the viewer").first().click();
    await tab.sees("1 of 1");
    await look("the viewer");
    await tab.page.keyboard.press("Escape");
  }, { viewport, colorScheme, reducedMotion: "reduce", hasTouch: name === "phone" });
}
