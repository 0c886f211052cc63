// What the page does when its engine breaks down, does not start, or is in another tab; and what it tells of its work. What a
// server's engine goes through is its own matter, which its own tests see to; the page's part of it is in server.test.js.

import assert from "node:assert/strict";
import { both, WORKER } from "./both.js";
import { Tab } from "./page.js";

const onPage = both({ panel: "Models" });

// A worker breaks down in the page; a server starts its engine again by itself.
const BREAKS = WORKER("a server's engine breaks down elsewhere");
const STARTS = WORKER("a server's page starts no engine");
const TABS = WORKER("a server's engine is in no tab");
const PACKS = WORKER("a server takes no files of models");
const LOADS = WORKER("a server's models are loaded when they are drawn with");

// Waits for the finished picture of a prompt.
const finished = async (tab, prompt) => await tab.page.getByRole("img", { name: `${prompt}, seed` }).first().waitFor();

for (const [word, words] of [
  ["die-once", /The engine broke down: unreachable executed.*started again, and goes on/],
  ["trap-once", /The engine broke down: .*memory access out of bounds.*started again/],
  ["lost-once", /The graphics device was lost.*started again/],
]) {
  onPage(`a job goes on with the next worker: ${word}`, async (tab, context, engine) => {
    await tab.load();
    await tab.generate(`a fox ${word}`);
    await tab.sees(words);
    await finished(tab, `a fox ${word}`);
    assert.equal(engine.starts("plain"), 2);
    await tab.panel("Models");
    await tab.sees("Fake Graphics 4000");
  }, { may: /memory access out of bounds/, ...BREAKS });
}

onPage("a job that two workers died of is given up, and those behind it are done", async (tab, context, engine) => {
  await tab.load();
  await tab.generate("a fox die");
  await tab.generate("a hare");
  await tab.sees(/It has happened twice with this picture/);
  await finished(tab, "a hare");
  assert.equal(engine.starts("plain"), 3);
}, BREAKS);

onPage("a packing that its worker dies of is told, and the next one works", async (tab) => {
  await tab.drop({ name: "fatal.safetensors", bytes: [1, 2, 3] });
  await tab.dialog.getByRole("button", { name: "Keep packed" }).click();
  await tab.sees(/"fatal" was not kept/);
  await tab.drop({ name: "sound.safetensors", bytes: [1, 2, 3] });
  await tab.dialog.getByRole("button", { name: "Keep packed" }).click();
  await tab.sees(/sound is kept in this browser/i);
}, BREAKS);

onPage("a model that two workers died of is given up", async (tab, context, engine) => {
  await tab.page.getByLabel("Address of the folder").fill("models/fatal");
  await tab.page.keyboard.press("Enter");
  await tab.dialog.getByRole("button", { name: "Fetch and load" }).click();
  await tab.sees(/It has happened twice with this model/);
  // The third worker, a moment later, is there for another model.
  await tab.load();
  assert.equal(engine.starts("plain"), 3);
}, BREAKS);

onPage("an engine that cannot start is tried three times more, and then when the user says so", async (tab, context, engine) => {
  await tab.sees(/This has happened several times, so the engine stays off for now/, { timeout: 30_000 });
  assert.equal(engine.starts("broken"), 4);
  await tab.button("Try again").first().click();
  await tab.sees(/started again/);
  assert.ok(engine.starts("broken") >= 5);
}, { behaviour: "broken", may: /this worker cannot start/, ...STARTS });

onPage("an engine whose script is missing is told", async (tab) => {
  await tab.sees(/Worker\.js cannot be fetched|worker\.js cannot be fetched/);
}, { behaviour: "missing", may: /404/, ...STARTS });

onPage("an engine of another version is told", async (tab) => {
  await tab.sees(/of different versions, reload the page/);
}, { behaviour: "old", ...STARTS });

onPage("an engine that says nothing is replaced after two minutes", async (tab, context, engine) => {
  await context.clock.fastForward("02:01");
  await tab.sees(/The engine has not started within 2 minutes/);
  await context.clock.runFor(2000);
  assert.equal(engine.starts("mute-once"), 2);
}, { behaviour: "mute-once", prepare: (context) => context.clock.install(), ...STARTS });

onPage("one tab has the engine, and another can take it", async (one, context, engine) => {
  await one.load();
  await one.generate("endless");
  const two = await Tab.open(context, engine.address(), { panel: "Models" });
  await two.page.getByRole("heading", { name: "At work in another tab" }).waitFor();
  assert.equal(engine.starts("plain"), 1, "the other tab starts no worker");
  await two.sees("What is kept is told by the engine, which another tab has.");
  await two.button("Use it here").last().click();
  // The model of the last visit comes by itself, from what is kept.
  await two.sees("Fake Graphics 4000");
  await one.sees(/another tab has taken the engine/i);
  await one.panel("Models");
  await one.page.getByRole("heading", { name: "At work in another tab" }).waitFor();
  // When the tab that has it is closed, the other one goes on.
  await two.close();
  await one.sees("Fake Graphics 4000");
  assert.deepEqual(two.complaints, []);
}, TABS);

for (const [name, script] of [
  ["a browser without locks", () => Object.defineProperty(Navigator.prototype, "locks", { get() { return undefined; } })],
  ["a page that may have no locks", () => {
    LockManager.prototype.request = () => Promise.reject(new DOMException("access is denied", "SecurityError"));
  }],
]) {
  onPage(`${name} goes on without`, async (tab) => {
    await tab.load();
    await tab.generate("a fox");
    await finished(tab, "a fox");
  }, { prepare: (context) => context.addInitScript(script) });
}

onPage("a tab without the engine says so when it is to draw, and draws when it has it", async (one, context, engine) => {
  await one.load();
  const two = await Tab.open(context, engine.address(), { panel: "Models" });
  await two.page.getByRole("heading", { name: "At work in another tab" }).waitFor();
  await two.button("Dismiss").click();
  await two.generate("a fox");
  await two.sees(/Encaustic is at work in another tab/);
  assert.equal(await two.page.getByText("The model could not be loaded").count(), 0);
  await two.button("Use it here").last().click();
  // The last visit's model comes, as if nothing had been asked for before.
  await two.panel("Models");
  await two.sees("Fake Graphics 4000");
  await two.generate("a hare");
  await finished(two, "a hare");
  assert.deepEqual(two.complaints, []);
}, TABS);

onPage("a packing ends when another tab takes the engine", async (one, context, engine) => {
  await one.drop({ name: "slow.safetensors", bytes: [1, 2, 3] });
  await one.dialog.getByRole("button", { name: "Keep packed" }).click();
  await one.sees(/Packing slow/i);
  const two = await Tab.open(context, engine.address(), { panel: "Models" });
  await two.button("Use it here").last().click();
  await one.sees(/"slow" was not kept: another tab has taken the engine/i);
  await two.close();
  await one.load();
  assert.deepEqual(two.complaints, []);
}, PACKS);

onPage("a picture does not wait for an engine that the browser refuses", async (tab) => {
  await tab.load();
  await tab.generate("a fox die-once");
  await tab.sees(/this picture waited for it/);
  await tab.sees(/The engine stays off for now/);
  await tab.button("Try again").first().click();
  await tab.panel("Models");
  await tab.sees("Fake Graphics 4000");
}, {
  prepare: (context) => context.addInitScript(() => {
    let started = 0;
    window.Worker = class extends Worker {
      constructor(...words) {
        if (++started === 2) throw new DOMException("not allowed", "SecurityError");
        super(...words);
      }
    };
  }),
  ...STARTS,
});

onPage("a model that was deleted is not fetched again when the device is lost", async (tab) => {
  await tab.load();
  await tab.button(/^Delete /).first().click();
  await tab.dialog.getByRole("button", { name: "Delete" }).click();
  await tab.sees("Nothing yet");
  await tab.generate("a fox lost-once");
  await tab.sees(/nothing is kept under demo-1/i);
  await tab.panel("Models");
  await tab.sees("Nothing yet");
}, BREAKS);

onPage("a load that hears no stop offers none", async (tab) => {
  await tab.page.getByLabel("Address of the folder").fill("models/heavy");
  await tab.page.keyboard.press("Enter");
  await tab.dialog.getByRole("button", { name: "Fetch and load" }).click();
  await tab.sees("Bringing it to the graphics card");
  assert.ok(await tab.button("Stop", { exact: true }).first().isDisabled());
  await tab.sees("Fake Graphics 4000");
}, LOADS);

onPage("a load that waits for a picture is taken back, and the model from before is still there", async (tab) => {
  await tab.load();
  await tab.generate("endless");
  await tab.sees(/Step \d+ of 1000/);
  await tab.panel("Models");
  await tab.page.getByLabel("Address of the folder").fill("models/other");
  await tab.page.keyboard.press("Enter");
  await tab.dialog.getByRole("button", { name: "Fetch and load" }).click();
  await tab.button("Stop", { exact: true }).first().click();
  await tab.sees("Fake Graphics 4000");
  await tab.panel("Create");
  await tab.page.keyboard.press("Escape");
  await tab.generate("a hare");
  await finished(tab, "a hare");
}, LOADS);

onPage("tokens are counted before there is a model", async (tab) => {
  await tab.panel("Create");
  await tab.page.getByLabel("Prompt", { exact: true }).fill("three small words");
  await tab.sees("3 / 75");
});

onPage("Esc cancels the job that runs", async (tab, context, engine) => {
  await tab.load();
  await tab.generate("endless");
  await tab.sees(/Step \d+ of 1000/);
  await tab.page.keyboard.press("Escape");
  await tab.sees(/cancelled|stopped/i);
  if (engine.kind === "worker") assert.equal(engine.starts("plain"), 1);
});

onPage("the tab's title tells how far the work is while one looks at another tab", async (tab) => {
  const look = (hidden) => tab.page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  const title = async (is) => await tab.page.waitForFunction((is) => new RegExp(is).test(document.title), is);
  await tab.load();
  await tab.panel("Create");
  await tab.page.getByLabel("Steps", { exact: true }).and(tab.page.getByRole("textbox")).fill("20");
  await tab.generate("a fox slow");
  await tab.sees(/Step \d+ of 20/);
  await look(true);
  await title("^\\d+ % . Encaustic$");
  await title("^Done . Encaustic$");
  await look(false);
  await title("^Encaustic$");
});
