// The models panel: what is offered, looked at, fetched, packed, kept and deleted.

import assert from "node:assert/strict";
import { both, WORKER } from "./both.js";

const onPanel = both({ panel: "Models" });

// What a server's library can do is in server.test.js: it is another panel.
const KEPT = WORKER("a server keeps its models itself");

const DEMO = "Encaustic's model in the box";

onPanel("a model of the list is looked at, loaded, kept, and loaded again by itself", async (tab) => {
  await tab.sees("No model is loaded");
  await tab.button(`Load ${DEMO}`, { exact: true }).click();
  for (const words of ["Stable Diffusion 1.x", "MIT OR Apache-2.0", /20\.8 MB; this browser has room for 3\.9 GB/, /needs 242 MB, or 121 MB with one.*GPU allows buffers of 1\.1 GB/])
    await tab.dialog.getByText(words).waitFor();
  assert.equal(await tab.page.getByText("Loaded", { exact: true }).count(), 0, "a look loads nothing");
  await tab.dialog.getByRole("button", { name: "Fetch and load" }).click();
  await tab.sees("Fake Graphics 4000");
  await tab.sees(/22\.8 MB of 4 GB used/);
  // The next visit finds it where it was left.
  await tab.page.reload();
  await tab.panel("Models");
  await tab.sees("Fake Graphics 4000");
}, KEPT);

onPanel("one network at a time is the user's choice", async (tab) => {
  await tab.button(`Load ${DEMO}`, { exact: true }).click();
  await tab.dialog.getByRole("button", { name: "Load one at a time" }).click();
  await tab.sees(/one network at a time in graphics memory/);
}, KEPT);

onPanel("what does not fit is told before anything is fetched", async (tab) => {
  await tab.button("Load A large one").click();
  await tab.dialog.getByText(/The largest tensor has 1\.6 GB/).waitFor();
  assert.ok(await tab.dialog.getByRole("button", { name: "Fetch and load" }).isDisabled());
  await tab.page.keyboard.press("Escape");
  await tab.dialog.waitFor({ state: "hidden" });
  await tab.sees("Nothing yet");
}, KEPT);

onPanel("without room nothing is fetched, and both sizes are told", async (tab) => {
  await tab.button(`Load ${DEMO}`, { exact: true }).click();
  await tab.dialog.getByText(/The browser has room for 10 MB, and 20\.8 MB are to be fetched/).waitFor();
  assert.ok(await tab.dialog.getByRole("button", { name: "Fetch and load" }).isDisabled());
}, { behaviour: "full", ...KEPT });

onPanel("a download is stopped and resumed", async (tab) => {
  await tab.button("Load A slow one").click();
  await tab.dialog.getByRole("button", { name: "Fetch and load" }).click();
  await tab.sees(/MB of 500 MB .* left/);
  await tab.button("Stop", { exact: true }).click();
  await tab.sees("No model is loaded");
  await tab.button("Resume The slow one").click();
  await tab.dialog.getByText(/are here already/).waitFor();
}, KEPT);

onPanel("an address is understood, or what is wrong with it is told", async (tab) => {
  const field = tab.page.getByLabel("Address of the folder");
  for (const [text, words] of [
    ["", /^Write where the model is/],
    ["ftp://example.org/x", /begins with https/],
    ["hf:nobody", /hf:owner\/name/],
    ["https://example.org/x.safetensors", /drop it on this page/],
  ]) {
    await field.fill(text);
    await field.press("Enter");
    await tab.sees(words);
  }
  await field.fill("https://example.org/models/none/manifest.json");
  await tab.button("Look", { exact: true }).click();
  await tab.dialog.getByText("https://example.org/models/none/manifest.json cannot be fetched: the server answers 404 Not Found.").waitFor();
  await tab.dialog.getByRole("button", { name: "Close" }).last().click();
  await field.fill("hf:owner/lighthouse");
  await field.press("Enter");
  await tab.dialog.getByRole("heading", { name: "The main one" }).waitFor();
}, KEPT);

onPanel("what may not go well is told, and can be tried", async (tab) => {
  const field = tab.page.getByLabel("Address of the folder");
  await field.fill("https://example.org/models/doubtful");
  await field.press("Enter");
  await tab.dialog.getByText("This model needs more graphics memory than this device probably has; take a smaller one.").waitFor();
  await tab.dialog.getByRole("button", { name: "Fetch and load" }).click();
  await tab.sees("Fake Graphics 4000");
}, KEPT);

onPanel("a model is deleted when that is confirmed", async (tab) => {
  await tab.load();
  await tab.button(`Delete ${DEMO}`).click();
  await tab.dialog.getByText("It can be fetched again, 20.8 MB. Your pictures stay.").waitFor();
  await tab.dialog.getByRole("button", { name: "Cancel" }).click();
  await tab.button(`Delete ${DEMO}`).click();
  await tab.dialog.getByRole("button", { name: "Delete", exact: true }).click();
  await tab.sees("Nothing yet");
  // It is not loaded unasked any more.
  await tab.page.reload();
  await tab.panel("Models");
  await tab.sees("No model is loaded");
}, KEPT);

onPanel("a checkpoint that is dropped is looked at and loaded", async (tab) => {
  await tab.panel("Create");
  await tab.drop({ name: "lighthouse_v2.safetensors", bytes: new Array(5000).fill(7) });
  await tab.dialog.getByText("nothing: it is read from your disk").waitFor();
  await tab.dialog.getByRole("button", { name: "Load", exact: true }).click();
  await tab.sees("Fake Graphics 4000");
  await tab.page.getByRole("heading", { name: "lighthouse_v2.safetensors" }).waitFor();
  // Nothing of it is left for the next visit.
  await tab.page.reload();
  await tab.panel("Models");
  await tab.sees("No model is loaded");
}, KEPT);

onPanel("a checkpoint is packed, and loads from what is kept", async (tab) => {
  const [chooser] = await Promise.all([tab.page.waitForEvent("filechooser"), tab.button("Choose a file").click()]);
  await chooser.setFiles({ name: "light_house.safetensors", mimeType: "", buffer: Buffer.alloc(4000, 1) });
  const name = tab.dialog.getByLabel("Name");
  assert.equal(await name.inputValue(), "light house");
  await name.fill("");
  await tab.dialog.getByText("Give it a name.").waitFor();
  assert.ok(await tab.dialog.getByRole("button", { name: "Keep packed" }).isDisabled());
  await name.fill("Mine");
  await tab.dialog.getByText("q8").click();
  await tab.dialog.getByRole("button", { name: "Keep packed" }).click();
  await tab.button("Load Mine").click();
  await tab.dialog.getByText("nothing: it is kept in this browser").waitFor();
  await tab.dialog.getByRole("button", { name: "Load", exact: true }).click();
  await tab.sees("Fake Graphics 4000");
}, KEPT);

onPanel("a packing is stopped", async (tab) => {
  await tab.drop({ name: "slow.safetensors", bytes: new Array(4000).fill(1) });
  await tab.dialog.getByRole("button", { name: "Keep packed" }).click();
  await tab.page.getByRole("heading", { name: "Packing slow" }).waitFor();
  await tab.button("Stop", { exact: true }).click();
  await tab.sees(/"slow" was not kept/);
}, KEPT);

onPanel("files that are of no use are refused with a sentence", async (tab, context, engine) => {
  for (const [name, words] of [
    ["model.ckpt", /"model\.ckpt" is a pickle.*safetensors/],
    ["model.gguf", /in a format of other programs/],
    ["song.mp3", { worker: /nothing that this page can use: it takes checkpoints/, server: /nothing that this page can use: it takes pictures/ }[engine.kind]],
  ]) {
    await tab.drop({ name });
    await tab.sees(words);
  }
  // A worker looks into one and loads it; a server takes models from its own disk alone.
  await tab.drop({ name: "a.safetensors" }, { name: "b.safetensors" });
  await tab.sees({ worker: /drop a single file/, server: /"b\.safetensors" is a model: put it where this server looks for models/ }[engine.kind]);
  await tab.drop({ name: "broken.safetensors" });
  await tab.sees({ worker: /The header is not valid|broken\.safetensors: the header is not valid/, server: /"broken\.safetensors" is a model/ }[engine.kind]);
});
