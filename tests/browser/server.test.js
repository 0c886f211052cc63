// What the page has more before a server: its queue, its devices, its library, a gallery that others fill as well; and that nothing
// is lost when the page or the line goes. The engine behind it is quick, the server is what ships.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { faults } from "./access.js";
import { browse, inTab, Tab } from "./page.js";
import { serveRemote } from "./remote.js";

let browser, server;

before(async () => {
  server = await serveRemote("devices=all");
  browser = await browse();
});

after(async () => {
  await browser?.close();
  await server?.close();
});

afterEach(async () => await server.empty());

// What a browser itself says of a line that is cut.
const CUT = /ERR_|WebSocket|Failed to load resource/;

function onPanel(panel, name, body, options) {
  test(name, () => inTab(browser, server.address(), body, { panel, ...options }));
}

const finished = (tab, count) =>
  tab.page.waitForFunction((count) => document.querySelectorAll(".thumb").length === count, count, { timeout: 20_000 });
const row = (tab, prompt) => tab.page.locator(".line-row").filter({ hasText: prompt });
const prompts = (tab) => tab.page.locator("ol .line-row .line-words > p:first-child").allTextContents();
// Waits until the jobs that wait are these, in this order.
const order = async (tab, ...wanted) =>
  await tab.page.waitForFunction((wanted) => {
    const shown = [...document.querySelectorAll("ol .line-row .line-words > p:first-child")].map((p) => p.textContent);
    return JSON.stringify(shown) === JSON.stringify(wanted);
  }, wanted);
// Three jobs that wait, as the queue does not go on.
const three = async () => {
  await server.api("POST", "queue", { is_paused: true });
  const jobs = [];
  for (const prompt of ["one", "two", "three"]) jobs.push(await server.submit(prompt));
  return jobs;
};

onPanel("Create", "the model of the server is there at once, and a picture comes without a look at any model", async (tab) => {
  await tab.sees("Encaustic's model in the box");
  await tab.generate("a fox");
  await finished(tab, 1);
  await tab.sees(/128 × 128 · seed \d+/);
  await tab.panel("Gallery");
  const picture = tab.page.locator("#panel-gallery").getByRole("img", { name: "a fox" }).first();
  await picture.waitFor();
  await picture.click();
  const window = tab.page.locator("dialog.look");
  await window.getByText("Sampler", { exact: true }).waitFor();
  await window.getByRole("button", { name: "With its seed" }).click();
  assert.match(await tab.page.locator("#param-seed").inputValue(), /^\d+$/);
});

onPanel("Create", "a job that runs is shown with its steps and a look at it, and again after a reload, and it ends", async (tab) => {
  await tab.page.locator("#param-steps").fill("20");
  await tab.generate("a hare slow:100");
  await tab.sees(/Step \d+ of 20/);
  await tab.page.locator(".is-running canvas").waitFor();
  await finished(tab, 1);
  await tab.page.locator("#param-steps").fill("40");
  await tab.generate("a long hare slow:100");
  await tab.sees(/Step \d+ of 40/);
  await tab.page.reload();
  await tab.sees(/Step \d+ of 40/);
  await tab.sees("a long hare");
  await finished(tab, 1);
});

onPanel("Create", "what is asked for while the line is cut is made when it is there again, once", async (tab) => {
  await tab.sees("Encaustic's model in the box");
  await tab.page.locator("#param-steps").fill("30");
  await tab.generate("before the cut slow:50");
  await tab.sees(/Step \d+ of 30/);
  server.cut();
  await tab.sees("The server does not answer.");
  await tab.page.locator("#param-steps").fill("4");
  await tab.generate("during the cut");
  await tab.sees("Next");
  server.cut(false);
  // It tries by itself as well, and may have been sooner.
  await tab.button("Try now").click({ timeout: 2000 }).catch(() => {});
  await tab.page.locator(".link-banner").waitFor({ state: "hidden" });
  await finished(tab, 2);
  const { items } = await server.api("GET", "jobs?state=finished&limit=5");
  assert.equal(items.filter(({ wish }) => wish.request.prompt === "during the cut").length, 1);
}, { may: CUT });

onPanel("Create", "a server that dies and comes back has lost nothing", async (tab) => {
  await tab.page.locator("#param-steps").fill("30");
  await tab.generate("through the restart slow:60");
  await tab.sees(/Step \d+ of 30/);
  await server.restart("SIGKILL");
  await finished(tab, 1);
  await tab.button("Show: through the restart").waitFor();
}, { may: CUT });

onPanel("Queue", "the queue is paused, put into another order by buttons, by hand and by priority, and goes on", async (tab) => {
  await tab.sees("Nothing to do");
  await three();
  await tab.sees(/Paused · 3 wait/);
  await order(tab, "one", "two", "three");
  await tab.button("Move down one").click();
  await order(tab, "two", "one", "three");
  await tab.button("Move up three").click();
  await order(tab, "two", "three", "one");
  await row(tab, "one").dragTo(row(tab, "two"));
  await order(tab, "one", "two", "three");
  await tab.page.getByLabel("Priority of three").selectOption("High");
  await order(tab, "three", "one", "two");
  // Nobody moves past another priority.
  await tab.button("Move up one", { disabled: true }).waitFor();
  await tab.button("Cancel two").click();
  await order(tab, "three", "one");
  const { items } = await server.api("GET", "jobs?state=waiting");
  assert.deepEqual(items.map(({ wish }) => wish.request.prompt), ["three", "one"], "the server's order is the page's");
  await tab.button("Go on").click();
  await tab.sees("Nothing waits");
});

onPanel("Queue", "what came to nothing says why, and is tried again", async (tab) => {
  await server.submit("a mirror broken");
  await tab.sees("Step 1 gave numbers beyond the range of f16.");
  const failed = async () => (await server.api("GET", "jobs?state=failed")).items.filter(({ wish }) => wish.request.prompt === "a mirror broken").length;
  assert.equal(await failed(), 1);
  await tab.button("Try again a mirror broken").first().click();
  await tab.page.waitForFunction(() => [...document.querySelectorAll(".line-row.is-bad")].filter((row) => row.textContent.includes("a mirror broken")).length === 2);
  assert.equal(await failed(), 2);
});

onPanel("Queue", "jobs at work tell how far they are, and devices what they do and hold", async (tab) => {
  const jobs = [await server.submit("a tower slow:100", { steps: 1000 }), await server.submit("a bridge slow:100", { steps: 1000 })];
  await tab.page.locator(".line-card").nth(1).waitFor();
  await tab.sees(/Step \d+ of 1000/);
  await tab.sees(/\d it\/s/);
  const devices = tab.page.locator(".line-device");
  await devices.nth(1).waitFor();
  assert.equal(await devices.count(), 2);
  await devices.filter({ hasText: `Drawing #${jobs[0].id}` }).waitFor();
  await devices.first().getByText("1 MB of 1.1 GB").waitFor();
  for (const prompt of ["a tower", "a bridge"]) await tab.button(`Cancel ${prompt} slow:100`).click();
  await tab.sees("It was cancelled.");
  await devices.filter({ hasText: "Idle" }).nth(1).waitFor();
  await tab.button("Unload demo from easel:0").click();
  await tab.button("Unload demo from easel:0").waitFor({ state: "detached" });
});

onPanel("Gallery", "what other programs have made hangs in the gallery; it is found, liked, deleted and brought back", async (tab) => {
  const panel = tab.page.locator("#panel-gallery");
  for (const prompt of ["a lighthouse at dusk", "a windmill at noon"]) await server.ended((await server.submit(prompt)).id);
  await panel.getByRole("img", { name: "a windmill at noon" }).first().waitFor();
  await panel.getByRole("searchbox").fill("lighth");
  await panel.getByRole("img", { name: "a windmill at noon" }).first().waitFor({ state: "detached" });
  const card = panel.locator(".card-picture").filter({ has: tab.page.getByRole("img", { name: "a lighthouse at dusk" }) });
  await card.getByRole("button", { name: "Make it a favourite" }).click();
  await panel.getByRole("searchbox").fill("nothing like this");
  await tab.sees("No picture like that");
  await tab.button("Show all").click();
  await tab.button("Show favourites only").click();
  await tab.page.waitForFunction(() => document.querySelectorAll("#panel-gallery .card-picture").length === 1);
  await card.getByRole("button", { name: "a lighthouse at dusk" }).click();
  await tab.page.locator("dialog.look").getByRole("button", { name: "Delete the picture" }).click();
  await tab.sees("The picture is deleted.");
  await tab.button("Undo").first().click();
  await card.waitFor();
  assert.equal((await server.api("GET", "images?favourite=true")).items.length, 1);
  // What is not brought back is gone with the page.
  await card.getByRole("button", { name: "a lighthouse at dusk" }).click();
  await tab.page.locator("dialog.look").getByRole("button", { name: "Delete the picture" }).click();
  await tab.sees("The picture is deleted.");
  await tab.page.goto("about:blank");
  for (let tries = 0; (await server.api("GET", "images?favourite=true")).items.length > 0; tries++) {
    assert.ok(tries < 100, "the picture is still there");
    await new Promise((done) => setTimeout(done, 50));
  }
});

onPanel("Gallery", "pictures are collected, looked at as a collection, taken out, and saved in one archive", async (tab) => {
  const panel = tab.page.locator("#panel-gallery");
  for (const prompt of ["a red boat", "a blue boat", "a hill"]) await server.ended((await server.submit(prompt)).id);
  await panel.getByRole("img", { name: "a hill" }).first().waitFor();
  await panel.getByRole("searchbox").fill("boat");
  await tab.page.waitForFunction(() => document.querySelectorAll("#panel-gallery .card-picture").length === 2);
  await tab.button("Choose several").click();
  await panel.getByRole("button", { name: "All", exact: true }).click();
  const [download] = await Promise.all([tab.page.waitForEvent("download"), panel.getByRole("button", { name: "Save" }).click()]);
  assert.match(download.suggestedFilename(), /\.zip$/);
  await panel.getByRole("button", { name: "Collect" }).click();
  await tab.dialog.getByLabel("A new one").fill("Boats");
  await tab.page.keyboard.press("Enter");
  await panel.getByRole("searchbox").fill("");
  await panel.getByLabel("Collection").selectOption("Boats");
  await tab.page.waitForFunction(() => document.querySelectorAll("#panel-gallery .card-picture").length === 2);
  await tab.button("Choose several").click();
  await panel.getByRole("button", { name: "a red boat" }).click();
  await panel.getByRole("button", { name: "Take out" }).click();
  await tab.page.waitForFunction(() => document.querySelectorAll("#panel-gallery .card-picture").length === 1);
  const [one] = (await server.api("GET", "collections")).items;
  assert.deepEqual([one.name, one.images], ["Boats", 1]);
});

onPanel("Models", "another model is used from now on, and after a reload", async (tab) => {
  await tab.button("Use Another one").click();
  const other = tab.page.locator(".models-row").filter({ hasText: "Another one" });
  await other.getByText("In use").waitFor();
  await tab.generate("a fox of another");
  await finished(tab, 1);
  const { items } = await server.api("GET", "jobs?state=finished&limit=1");
  assert.equal(items[0].wish.model, "other");
  await tab.page.reload();
  await tab.panel("Models");
  await other.getByText("In use").waitFor();
});

onPanel("Models", "a model is fetched, with its progress; one that does not come says why; one that takes too long is stopped", async (tab) => {
  const field = tab.page.getByLabel("A model of the hub, or its address");
  const fetch = async (source) => {
    await field.fill(source);
    await field.press("Enter");
  };
  await fetch("");
  await tab.sees("Write which one");
  await fetch("nobody/nowhere");
  await tab.sees("nobody/nowhere: there is no such model.");
  await tab.button("Put away nobody/nowhere").click();
  await fetch("owner/slow");
  await tab.sees("weights.safetensors");
  await tab.sees(/\d+ B of 1 kB|of 1\.0 kB|of 1 kB/);
  await tab.button("Stop owner/slow").click();
  await tab.sees(/owner\/slow: stopped/);
  await tab.button("Put away owner/slow").click();
});

test("a model is deleted when that is confirmed, from the disk of the server", async () => {
  const server = await serveRemote();
  try {
    await inTab(browser, server.address(), async (tab) => {
      const row = tab.page.locator(".models-row").filter({ hasText: "Another one" });
      await tab.button("Delete Another one").click();
      await tab.dialog.getByText("Its files (1 MB) go from the server's disk, for everybody. Pictures stay.").waitFor();
      await tab.dialog.getByRole("button", { name: "Cancel" }).click();
      await tab.button("Delete Another one").click();
      await tab.dialog.getByRole("button", { name: "Delete", exact: true }).click();
      await row.waitFor({ state: "detached" });
      const { items } = await server.api("GET", "models");
      assert.deepEqual(items.map(({ name }) => name), ["demo"]);
    }, { panel: "Models" });
  } finally {
    await server.close();
  }
});

onPanel("Settings", "a setting of the server is changed, and one that is wrong is told where it stands", async (tab) => {
  const field = tab.page.getByLabel("Timeout secs", { exact: true });
  await field.fill("many");
  await field.press("Enter");
  await tab.page.locator("#server-timeout_secs-error").getByText(/timeout_secs|number/).waitFor();
  await field.fill("1800");
  await tab.button("Save", { exact: true }).click();
  await tab.sees("The server has taken the setting.");
  const { items } = await server.api("GET", "settings");
  assert.equal(items.find(({ id }) => id === "timeout_secs").value, "1800");
  await tab.page.getByText("Settings that are read when it starts").click();
  await tab.page.getByText("Listen", { exact: true }).waitFor();
}, { may: /422/ });

test("where a key is wanted the page asks for it, and says when it is none", async () => {
  const server = await serveRemote();
  try {
    const { key } = await server.api("POST", "keys", { name: "laptop", scopes: ["read", "generate"] });
    await server.restart("SIGINT", "require_key=true");
    await inTab(browser, server.address(), async (tab) => {
      const field = tab.dialog.getByLabel("API key");
      await tab.dialog.getByRole("heading", { name: "Sign in" }).waitFor();
      assert.deepEqual(await faults(tab.page), []);
      await field.fill("enc_none");
      await field.press("Enter");
      await tab.dialog.getByText("The server does not know this key.").waitFor();
      await field.fill(key);
      await tab.dialog.getByRole("button", { name: "Sign in" }).click();
      await tab.dialog.waitFor({ state: "hidden" });
      await tab.generate("a fox");
      await finished(tab, 1);
      // It may draw, and not say when everybody's queue goes on.
      await tab.panel("Queue");
      await tab.sees("Nothing waits");
      assert.equal(await tab.button("Pause", { exact: true }).count(), 0);
      await tab.page.reload();
      await tab.panel("Settings");
      await tab.sees("laptop");
      await tab.button("Sign out").click();
      await field.waitFor();
    }, { may: /401|WebSocket/ });
  } finally {
    await server.close();
  }
});

test("two tabs have the engine at once, and each knows its own pictures", async () => {
  await inTab(browser, server.address(), async (tab, context) => {
    const other = await Tab.open(context, server.address());
    await tab.generate("of the first");
    await other.generate("of the second");
    await finished(tab, 1);
    await finished(other, 1);
    await other.panel("Gallery");
    await other.page.locator("#panel-gallery").getByRole("img", { name: "of the first" }).first().waitFor();
  });
});

for (const [name, viewport, colorScheme] of [["phone", { width: 360, height: 780 }, "dark"], ["desk", { width: 1280, height: 800 }, "light"]]) {
  onPanel("Queue", `nothing stands in anybody's way behind a server: ${name}, ${colorScheme}`, async (tab) => {
    const look = async (where) => {
      const width = await tab.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(width, 0, `${where} is wider than the screen`);
      assert.deepEqual(await faults(tab.page), [], where);
    };
    await server.submit("a mirror broken");
    await tab.sees("Came to nothing");
    await three();
    await order(tab, "one", "two", "three");
    await look("a queue that is paused");
    for (const panel of ["Models", "Gallery", "Settings"]) {
      await tab.panel(panel);
      await look(panel);
    }
  }, { viewport, colorScheme, reducedMotion: "reduce" });
}
