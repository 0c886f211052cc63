// The page in a browser, driven as a user would: behind it is a fake worker, so that no GPU is needed.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { browse } from "./worker.js";

export { browse };

const ROOT = join(import.meta.dirname, "../..");
// Another folder than dist/ may be tested.
export const DIST = process.env.ENCAUSTIC_DIST ?? join(ROOT, "dist");

export const TYPES = {
  ".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".png": "image/png",
  ".svg": "image/svg+xml", ".wasm": "application/wasm", ".webmanifest": "application/manifest+json",
};

// What the page offers in tests.
const OFFERS = {
  models: [
    { title: "Encaustic's model in the box", address: "models/demo", family: "sd1", bytes: 20_842_870, about: "Small and quick.", license: "MIT OR Apache-2.0" },
    { title: "A large one", address: "models/big", family: "sdxl", bytes: 6_900_000_000, about: "More than this device can hold.", license: "CreativeML Open RAIL++-M" },
    { title: "A slow one", address: "models/slow", family: "sd1", bytes: 500_000_000, about: "It comes slowly." },
  ],
};

// Serves the page of `dist` at /NAME/ for any name, with the fake worker behaving as its name says; /real/ has the real one and
// the models of `dist`. `pictures` is a folder of what the worker "shown" shows, a file for each prompt.
export async function servePage(dist = DIST, { pictures } = {}) {
  const starts = new Map();
  const shards = [];
  const server = createServer(async (request, response) => {
    const answer = (status, type, body) => response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const [, behaviour, rest] = path.match(/^\/([\w-]+)\/(.*)$/) ?? [];
    if (path === "/favicon.ico") return answer(204, "image/png");
    if (behaviour === undefined) return answer(404, "text/plain", "there is no such page");
    try {
      if (rest === "worker.js" && !["missing", "real"].includes(behaviour)) {
        const nth = (starts.get(behaviour) ?? 0) + 1;
        starts.set(behaviour, nth);
        const worker = await readFile(join(import.meta.dirname, "fake-worker.js"), "utf8");
        return answer(200, TYPES[".js"], `const BEHAVIOUR = ${JSON.stringify(behaviour)}, NTH = ${nth};\n${worker}`);
      }
      if (rest === "worker.js" && behaviour === "missing") return answer(404, "text/plain", "there is no worker");
      // A service worker that keeps the page would hide from this server what is fetched.
      if (rest === "sw.js") return answer(200, TYPES[".js"], "");
      if (rest.endsWith(".safetensors")) shards.push(rest);
      if (rest === "models.json" && !["real", "shown"].includes(behaviour)) return answer(200, TYPES[".json"], JSON.stringify(OFFERS));
      if (rest.startsWith("pictures/")) return answer(200, TYPES[".png"], await readFile(join(pictures, rest.slice("pictures/".length))));
      const name = rest === "" ? "index.html" : rest;
      answer(200, TYPES[extname(name)] ?? "application/octet-stream", await readFile(join(dist, name)));
    } catch {
      answer(404, "text/plain", "there is no such file");
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    address: (behaviour = "plain") => `${origin}/${behaviour}/`,
    // The shards of models that have been fetched.
    shards,
    // How many workers a page has started.
    starts: (behaviour) => starts.get(behaviour) ?? 0,
    // Every page begins anew.
    forget: () => starts.clear(),
    close: () => server.close(),
  };
}

// A browser context of its own: storage and locks are shared by its tabs and by nobody else.
export async function visit(browser, options = {}) {
  return await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
}

// A tab with the page in it.
export class Tab {
  // What the console has of errors and warnings.
  complaints = [];

  static async open(context, address, { panel } = {}) {
    const tab = new Tab();
    tab.page = await context.newPage();
    tab.page.on("pageerror", (error) => tab.complaints.push(String(error)));
    tab.page.on("console", (message) => {
      const complaint = `${message.text()} ${message.location().url}`;
      // A look at a job that has ended meanwhile.
      const isLate = /404.*\/jobs\/\d+\/preview$/.test(complaint);
      if (["error", "warning"].includes(message.type()) && !isLate) tab.complaints.push(complaint);
    });
    tab.page.setDefaultTimeout(15_000);
    await tab.page.goto(address);
    await tab.page.getByRole("navigation").first().waitFor();
    if (panel) await tab.panel(panel);
    return tab;
  }

  // Goes to a part of the page.
  async panel(name) {
    await this.page.getByRole("navigation").first().getByRole("link", { name }).first().click();
  }

  button(name, options = {}) {
    return this.page.getByRole("button", { name, ...options });
  }

  // The window over the page.
  get dialog() {
    return this.page.getByRole("dialog");
  }

  // Waits for words anywhere in sight.
  async sees(words, options = {}) {
    await this.page.getByText(words).filter({ visible: true }).first().waitFor(options);
  }

  async doesNotSee(words) {
    await this.page.getByText(words).filter({ visible: true }).first().waitFor({ state: "hidden" });
  }

  // Fetches and loads a model of the list, through the look. A server's page has one by itself.
  async load(title = "Encaustic's model in the box") {
    if ((await this.page.locator("meta[name='encaustic-server']").count()) > 0) return await this.page.locator(".model-chip.is-ready").waitFor();
    await this.panel("Models");
    await this.button(`Load ${title}`, { exact: true }).first().click();
    await this.dialog.getByRole("button", { name: /^(Fetch and load|Load)$/ }).click();
    await this.sees("Loaded");
  }

  // Writes a prompt and asks for the picture.
  async generate(prompt) {
    await this.panel("Create");
    await this.page.getByLabel("Prompt", { exact: true }).fill(prompt);
    await this.page.keyboard.press("Control+Enter");
  }

  // Drops files on the page: `{ name, type, bytes }`.
  async drop(...files) {
    const data = await this.page.evaluateHandle((files) => {
      const data = new DataTransfer();
      for (const { name, type, bytes } of files) data.items.add(new File([new Uint8Array(bytes)], name, { type: type ?? "" }));
      return data;
    }, files.map((file) => ({ ...file, bytes: Array.from(file.bytes ?? [1, 2, 3]) })));
    for (const kind of ["dragenter", "dragover"]) await this.page.dispatchEvent("body", kind, { dataTransfer: data });
    await this.sees("Drop it anywhere");
    await this.page.dispatchEvent("body", "drop", { dataTransfer: data });
  }

  async close() {
    await this.page.close();
  }
}

// Does something in a tab of a context of its own, which `prepare` makes ready; its console may say nothing but what `may` allows.
export async function inTab(browser, address, body, { panel, may, prepare, ...options } = {}) {
  const context = await visit(browser, options);
  try {
    await prepare?.(context);
    const tab = await Tab.open(context, address, { panel });
    await body(tab, context);
    assert.deepEqual(tab.complaints.filter((words) => !may?.test(words)), []);
  } finally {
    await context.close();
  }
}
