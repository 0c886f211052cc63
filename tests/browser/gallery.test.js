// The gallery in a browser: pictures are kept, found, saved, sent back to the form and deleted; the settings of other programs'
// pictures come into the form. One list for both kinds of engine, as the page cannot tell a worker from a server.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { both, WORKER } from "./both.js";
import { Tab } from "./page.js";

const onPage = both({ acceptDownloads: true, permissions: ["clipboard-read", "clipboard-write"] });

const pictures = (tab) => tab.page.locator("#panel-gallery .card-open");
// The field of this label; some have a slider beside them.
const field = (tab, label) => tab.page.getByLabel(label, { exact: true }).and(tab.page.locator(":not([type='range'])"));

// Waits until the gallery shows so many.
async function shows(tab, count) {
  await tab.panel("Gallery");
  await tab.page.waitForFunction((count) => document.querySelectorAll("#panel-gallery .card-open img").length === count, count);
}

// Waits until a field holds this.
async function holds(tab, label, value) {
  const input = await field(tab, label).elementHandle();
  const waits = tab.page.waitForFunction(([input, value]) => input.value === value, [input, value]);
  await waits.catch(async () => assert.equal(await input.inputValue(), value, label));
}

// Searches the gallery.
const search = async (tab, words) => await searches(tab).fill(words);
const searches = (tab) => tab.page.getByRole("searchbox", { name: "Search prompts, models and seeds" });

// Makes pictures with the seed 1234, one for each prompt.
async function make(tab, ...prompts) {
  await tab.load();
  await tab.panel("Create");
  await field(tab, "Seed").fill("1234");
  for (const prompt of prompts) {
    await tab.generate(prompt);
    await tab.page.getByRole("img", { name: `${prompt}, seed` }).first().waitFor();
  }
}

// Does what changes a picture, and waits until that is where it outlives the page: nothing in sight tells of it.
async function stored(tab, engine, act) {
  const told = engine.kind === "worker"
    ? tab.page.evaluate(() => new Promise((done) => (new BroadcastChannel("encaustic.gallery").onmessage = () => done())))
    : tab.page.waitForResponse((answer) => answer.request().method() === "PATCH");
  await act();
  await told;
}

// A PNG of one pixel with texts.
function png(texts) {
  const chunk = (name, body) => {
    const bytes = Buffer.concat([Buffer.from(name, "latin1"), body]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    sum.writeUInt32BE(crc32(bytes));
    return Buffer.concat([length, bytes, sum]);
  };
  const header = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
  const text = ([keyword, text]) => chunk("iTXt", Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`), Buffer.from(text)]));
  const pixels = Buffer.from("789c63606060000000040001", "hex");
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", header), ...Object.entries(texts).map(text), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

// The texts of a PNG.
function texts(bytes) {
  const found = {};
  for (let at = 8; at < bytes.length; ) {
    const [length, name] = [bytes.readUInt32BE(at), bytes.toString("latin1", at + 4, at + 8)];
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (name === "tEXt") {
      const end = body.indexOf(0);
      found[body.toString("latin1", 0, end)] = body.toString("latin1", end + 1);
    }
    at += length + 12;
  }
  return found;
}

onPage("an empty gallery invites", async (tab) => {
  await tab.panel("Gallery");
  await tab.sees("Your pictures will hang here");
  await tab.button("Make the first one").click();
  await field(tab, "Prompt").waitFor();
});

onPage("pictures are kept over a reload, found by words, and loved", async (tab, context, engine) => {
  await make(tab, "a red fox", "a blue lake");
  await shows(tab, 2);
  await tab.page.reload();
  await shows(tab, 2);
  await search(tab, "LAKE blue");
  await shows(tab, 1);
  await tab.sees("1 of 2 pictures");
  await search(tab, "a lake without water");
  await tab.sees("No picture like that");
  await tab.button("Show all").click();
  await shows(tab, 2);
  await pictures(tab).first().hover();
  await stored(tab, engine, () => tab.button("Make it a favourite").filter({ visible: true }).first().click());
  await tab.button("Show favourites only").click();
  await shows(tab, 1);
  await tab.sees("1 of 2 pictures");
  await tab.page.reload();
  await shows(tab, 2);
  await tab.button("Show favourites only").click();
  await shows(tab, 1);
});

onPage("a picture is found by its seed", async (tab) => {
  await make(tab, "a red fox");
  await field(tab, "Seed").fill("77");
  await tab.generate("a blue lake");
  await shows(tab, 2);
  for (const words of ["1234", "77", "fox 1234"]) {
    await search(tab, words);
    await shows(tab, 1);
    await tab.sees("1 of 2 pictures");
    await search(tab, "");
    await shows(tab, 2);
  }
  await search(tab, "lake 1234");
  await tab.sees("No picture like that");
});

onPage("a picture is saved with its settings inside, under a name that says what it is", async (tab, context, engine) => {
  await make(tab, "a red fox, in: snow");
  await shows(tab, 1);
  await pictures(tab).first().click();
  const download = tab.page.waitForEvent("download");
  await tab.dialog.getByRole("button", { name: "Save the picture" }).click();
  const file = await download;
  // A server's names are as its pattern says.
  assert.match(file.suggestedFilename(), { worker: /^1234-a-red-fox-in-snow\.png$/, server: /^\d{5}-1234\.png$/ }[engine.kind]);
  const bytes = await readFile(await file.path());
  assert.match(texts(bytes).parameters, /^a red fox, in: snow\nSteps: 4, Sampler: DDIM, .*Seed: 1234, Size: 128x128/);
  await tab.dialog.getByRole("button", { name: "Copy the prompt" }).click();
  await tab.sees("The prompt is copied.");
  assert.equal(await tab.page.evaluate(() => navigator.clipboard.readText()), "a red fox, in: snow");
  await tab.dialog.getByRole("button", { name: "Copy as text" }).click();
  await tab.sees("The settings are copied as text.");
  assert.match(await tab.page.evaluate(() => navigator.clipboard.readText()), /\nSteps: 4, /);
  // What was saved comes back when it is dropped.
  await tab.dialog.getByRole("button", { name: "Close" }).click();
  await tab.panel("Create");
  await field(tab, "Prompt").fill("something else");
  await tab.drop({ name: "fox.png", type: "image/png", bytes });
  await tab.sees(/The settings of "fox.png".*are in the form/);
  await holds(tab, "Prompt", "a red fox, in: snow");
  await holds(tab, "Seed", "1234");
  await tab.button("Undo").click();
  await holds(tab, "Prompt", "something else");
});

onPage("a picture's settings go back into the form, with its seed and without", async (tab) => {
  await make(tab, "a green hill");
  await field(tab, "Prompt").fill("something else");
  await field(tab, "Seed").fill("1");
  await shows(tab, 1);
  // At once, and all of them: the list alone does not tell them.
  await pictures(tab).first().click();
  await tab.button("With its seed").click();
  await holds(tab, "Prompt", "a green hill");
  await holds(tab, "Seed", "1234");
  await holds(tab, "Steps", "4");
  await tab.panel("Gallery");
  await pictures(tab).first().click();
  await tab.button("Use these settings").click();
  await holds(tab, "Seed", "");
  await tab.button("Undo").last().click();
  await holds(tab, "Seed", "1234");
});

onPage("the large picture is left and right of its neighbours, by keys", async (tab) => {
  await make(tab, "the first", "the second", "the third");
  await shows(tab, 3);
  await pictures(tab).first().click();
  await tab.dialog.getByText("1 of 3").waitFor();
  await tab.dialog.getByText("the third").waitFor();
  await tab.page.keyboard.press("ArrowRight");
  await tab.dialog.getByText("the second").waitFor();
  await tab.page.keyboard.press("Delete");
  await tab.dialog.getByText("2 of 2").waitFor();
  await tab.dialog.getByText("the first").waitFor();
  await tab.page.keyboard.press("Escape");
  await tab.dialog.waitFor({ state: "hidden" });
  await tab.button("Undo").click();
  await shows(tab, 3);
  await tab.sees("3 pictures");
});

onPage("what is deleted stays away whatever is looked for, and comes back from there", async (tab) => {
  await make(tab, "one", "two", "three");
  await shows(tab, 3);
  await pictures(tab).first().click({ modifiers: ["Control"] });
  await tab.button("Delete", { exact: true }).click();
  await shows(tab, 2);
  await tab.sees("2 pictures");
  for (const [words, found] of [["one", 1], ["", 2], ["two", 1]]) {
    await search(tab, words);
    await shows(tab, found);
    await tab.sees(found === 1 ? "1 of 2 pictures" : "2 pictures");
  }
  await search(tab, "three");
  await tab.sees("No picture like that");
  await tab.button("Undo").click();
  await shows(tab, 1);
  await tab.sees("1 of 3 pictures");
  await search(tab, "");
  await shows(tab, 3);
});

onPage("each deletion can be taken back from where the picture was, one by one", async (tab) => {
  await make(tab, "the first", "the second", "the third");
  await shows(tab, 3);
  await pictures(tab).first().click();
  await tab.dialog.getByText("1 of 3").waitFor();
  await tab.page.keyboard.press("Delete");
  await tab.dialog.getByText("1 of 2").waitFor();
  await tab.page.keyboard.press("Delete");
  await tab.dialog.getByText("1 of 1").waitFor();
  const undo = tab.dialog.getByRole("button", { name: "Undo" });
  await undo.nth(1).waitFor();
  assert.equal(await undo.count(), 2);
  await undo.first().click();
  await tab.dialog.getByText("of 2").waitFor();
  // The button is gone, and with it the focus; the arrows go on all the same.
  await tab.dialog.getByText("2 of 2").waitFor();
  await tab.page.keyboard.press("ArrowLeft");
  await tab.dialog.getByText("1 of 2").waitFor();
  await tab.page.keyboard.press("Escape");
  await tab.button("Undo").click();
  await shows(tab, 3);
});

onPage("all pictures of a large batch are kept", async (tab) => {
  await tab.load();
  await tab.panel("Create");
  await tab.page.locator("#param-batch").fill("64");
  await tab.generate("a crowd");
  await tab.panel("Gallery");
  await tab.sees("64 pictures", { timeout: 60_000 });
  await tab.page.reload();
  await tab.sees("64 pictures");
});

onPage("Esc in a search is about the search, and a prompt that is forgotten gives the focus to the next", async (tab) => {
  await make(tab, "a red fox", "a blue lake");
  await tab.generate("endless");
  await tab.sees(/Step \d+ of 1000/);
  await tab.panel("Gallery");
  await search(tab, "lake");
  await searches(tab).press("Escape");
  await tab.page.waitForFunction((input) => input.value === "", await searches(tab).elementHandle());
  await searches(tab).press("Escape");
  await tab.panel("Create");
  await tab.button("Prompts that were used").click();
  await tab.button("Forget this prompt").first().focus();
  await tab.page.keyboard.press("Enter");
  await tab.page.waitForFunction(() => document.querySelectorAll(".history-item").length === 2);
  await tab.page.waitForFunction(() => document.activeElement.getAttribute("aria-label") === "Forget this prompt");
  await tab.page.keyboard.press("Escape");
  await tab.page.locator(".history-list").waitFor({ state: "hidden" });
  await tab.sees(/Step \d+ of 1000/);
  assert.equal(await tab.page.locator(".queue-item").count(), 1);
});

onPage("several pictures are deleted, come back, and are gone after all", async (tab) => {
  await make(tab, "one", "two", "three");
  await shows(tab, 3);
  await tab.button("Choose several").click();
  await pictures(tab).nth(0).click();
  await pictures(tab).nth(2).click({ modifiers: ["Shift"] });
  await tab.sees("3 chosen");
  await pictures(tab).nth(1).click();
  await tab.sees("2 chosen");
  await tab.button("Delete", { exact: true }).click();
  await shows(tab, 1);
  await tab.button("Undo").click();
  await shows(tab, 3);
  await pictures(tab).first().click({ modifiers: ["Control"] });
  await tab.button("Delete", { exact: true }).click();
  await shows(tab, 2);
  await tab.sees("The picture is deleted.");
  await tab.page.reload();
  await shows(tab, 2);
  await tab.button("Choose several").click();
  await tab.button("All", { exact: true }).click();
  await tab.button("Delete", { exact: true }).click();
  await tab.sees("Your pictures will hang here");
  await tab.sees("2 pictures are deleted.");
  await tab.page.reload();
  await tab.panel("Gallery");
  await tab.sees("Your pictures will hang here");
});

onPage("all pictures are deleted in the settings", async (tab) => {
  await make(tab, "one", "two");
  await shows(tab, 2);
  await tab.panel("Settings");
  await tab.button("Delete all pictures").click();
  await tab.dialog.getByRole("button", { name: "Delete all" }).click();
  await tab.sees("There are none yet.");
  await tab.page.reload();
  await tab.panel("Gallery");
  await tab.sees("Your pictures will hang here");
}, WORKER("a server's pictures are not one browser's"));

onPage("another tab sees what this one makes, likes and deletes", async (tab, context, engine) => {
  await make(tab, "a red fox");
  const other = await Tab.open(context, engine.address(), { panel: "Gallery" });
  await shows(other, 1);
  // A tab behind others is slow.
  await tab.page.bringToFront();
  await tab.generate("a blue lake");
  await shows(other, 2);
  await shows(tab, 2);
  await pictures(tab).first().hover();
  await tab.button("Make it a favourite").filter({ visible: true }).first().click();
  await other.button("No longer a favourite").first().waitFor();
  await pictures(tab).first().click({ modifiers: ["Control"] });
  await tab.button("Delete", { exact: true }).click();
  await tab.sees("The picture is deleted.");
  // A server is told when it cannot be taken back any more.
  await tab.page.goto("about:blank");
  await shows(other, 1);
  assert.deepEqual(other.complaints, []);
});

const A1111 =
  "a cat\nNegative prompt: dog\nSteps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 4294967295, Size: 512x768, Model: v1-5, ENSD: 31337";
const COMFY = JSON.stringify({
  3: { class_type: "KSampler", inputs: { seed: 77, steps: 12, cfg: 5.5, sampler_name: "euler", scheduler: "karras", denoise: 1, positive: ["6", 0], negative: ["7", 0], latent_image: ["5", 0] } },
  5: { class_type: "EmptyLatentImage", inputs: { width: 256, height: 320, batch_size: 1 } },
  6: { class_type: "CLIPTextEncode", inputs: { text: "a glass bottle" } },
  7: { class_type: "CLIPTextEncode", inputs: { text: "text" } },
});
const INVOKE = JSON.stringify({ positive_prompt: "a lake", negative_prompt: "fog", width: 192, height: 128, seed: 9, cfg_scale: 4.5, steps: 7, scheduler: "ddim", model: { name: "Juggernaut" } });

for (const [whose, given, values, words] of [
  ["A1111", { parameters: A1111 }, { Prompt: "a cat", "Negative prompt": "dog", Seed: "4294967295" }, /A1111.*Its model was v1-5.*Not taken over: ENSD/],
  ["ComfyUI", { prompt: COMFY }, { Prompt: "a glass bottle", "Negative prompt": "text", Seed: "77" }, /ComfyUI made/],
  ["InvokeAI", { invokeai_metadata: INVOKE }, { Prompt: "a lake", "Negative prompt": "fog", Seed: "9" }, /InvokeAI made.*Its model was Juggernaut/],
]) {
  onPage(`the settings of a picture by ${whose} come into the form`, async (tab) => {
    await tab.drop({ name: "picture.png", type: "image/png", bytes: png(given) });
    await tab.sees(words);
    for (const [label, value] of Object.entries(values)) await holds(tab, label, value);
  });
}

onPage("what is no picture with settings is told in a sentence", async (tab) => {
  await tab.drop({ name: "bare.png", type: "image/png", bytes: png({}) });
  await tab.sees(/"bare.png": the picture holds no settings/);
  await tab.drop({ name: "photo.png", type: "image/png", bytes: Buffer.from("\xff\xd8\xff\xe0 a photo", "latin1") });
  await tab.sees(/"photo.png": not a PNG file: it begins like a JPEG picture/);
  await tab.drop({ name: "graph.png", type: "image/png", bytes: png({ prompt: '{"1": ' }) });
  await tab.sees(/"graph.png": ComfyUI's settings in the picture are damaged/);
});

onPage("settings travel as a file", async (tab) => {
  await field(tab, "Prompt").fill("a fox in the snow");
  await tab.panel("Settings");
  await tab.page.getByText("Dark", { exact: true }).click();
  const download = tab.page.waitForEvent("download");
  await tab.button("Export").click();
  const file = await download;
  assert.equal(file.suggestedFilename(), "encaustic-settings.json");
  const bytes = await readFile(await file.path());
  const settings = JSON.parse(bytes);
  assert.equal(settings.request.prompt, "a fox in the snow");
  assert.equal(settings.theme, "dark");
  await tab.page.getByText("Light", { exact: true }).click();
  await tab.panel("Create");
  await field(tab, "Prompt").fill("");
  await tab.drop({ name: "settings.json", bytes: Buffer.from(JSON.stringify(settings)) });
  await tab.sees(/The settings of "settings.json" are in the form/);
  await holds(tab, "Prompt", "a fox in the snow");
  await tab.page.locator('html[data-theme="dark"]').waitFor();
  await tab.drop({ name: "wrong.json", bytes: Buffer.from('{"promt": "x"}') });
  await tab.sees(/"wrong.json" is not taken: .*unknown field `promt`/);
});

onPage("how many pictures are kept does not travel: another number could throw some away", async (tab) => {
  await tab.panel("Settings");
  const download = tab.page.waitForEvent("download");
  await tab.button("Export").click();
  const settings = JSON.parse(await readFile(await (await download).path()));
  settings.preferences.keep = 100;
  await tab.drop({ name: "settings.json", bytes: Buffer.from(JSON.stringify(settings)) });
  await tab.sees(/The settings of "settings.json" are in the form/);
  await holds(tab, "How many the gallery keeps", "");
}, WORKER("a server keeps all pictures"));

onPage("on a phone, where nothing can be dropped, settings and pictures are chosen", async (tab) => {
  await tab.panel("Settings");
  const chooser = tab.page.waitForEvent("filechooser");
  await tab.button("Import").click();
  await (await chooser).setFiles({ name: "picture.png", mimeType: "image/png", buffer: png({ parameters: A1111 }) });
  await tab.sees(/The settings of "picture.png"/);
  await holds(tab, "Prompt", "a cat");
}, { viewport: { width: 360, height: 780 } });

onPage("prompts are remembered, found and forgotten", async (tab) => {
  await make(tab, "a red fox", "a blue lake");
  await tab.page.reload();
  await tab.button("Prompts that were used").click();
  await tab.page.getByPlaceholder("Search the prompts that were used").fill("fox");
  await tab.page.keyboard.press("ArrowDown");
  await tab.page.keyboard.press("Enter");
  await holds(tab, "Prompt", "a red fox");
  await tab.panel("Settings");
  await tab.button("Forget all prompts").click();
  await tab.dialog.getByRole("button", { name: "Forget them" }).click();
  await tab.panel("Create");
  await tab.button("Prompts that were used").waitFor({ state: "detached" });
});

onPage("a browser that keeps nothing says so, and the picture can be saved", async (tab) => {
  await make(tab, "a red fox");
  await tab.sees(/The picture is not kept: this browser keeps nothing for this page/i);
  const download = tab.page.waitForEvent("download");
  await tab.button("Save it").click();
  assert.equal((await download).suggestedFilename(), "1234-a-red-fox.png");
  await shows(tab, 1);
}, {
  prepare: (context) => context.addInitScript(() => {
    IDBFactory.prototype.open = () => { throw new DOMException("not here", "SecurityError"); };
  }),
  ...WORKER("a server's pictures are not in the browser"),
});

onPage("storage that is full says so, and the picture can be saved", async (tab) => {
  await make(tab, "a red fox");
  await tab.sees(/The picture is not kept: the browser's storage for this page is full/i);
  await shows(tab, 1);
}, {
  prepare: (context) => context.addInitScript(() => {
    const put = IDBObjectStore.prototype.put;
    IDBObjectStore.prototype.put = function (...values) {
      if (values[0] instanceof Blob) throw new DOMException("full", "QuotaExceededError");
      return put.apply(this, values);
    };
  }),
  ...WORKER("a server's pictures are not in the browser"),
});
