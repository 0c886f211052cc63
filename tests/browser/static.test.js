// The page as plain files below a path, as a file server gives them: no headers, no help.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { browse } from "./worker.js";

const DIST = join(import.meta.dirname, "../../dist");
const PREFIX = "/some/where/encaustic/";
const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

let browser, server, requests, edited;

before(async () => {
  requests = [];
  server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    requests.push(path);
    const file = path.startsWith(PREFIX) ? path.slice(PREFIX.length) || "index.html" : undefined;
    const bytes = (file === "models.json" && edited) || (file && (await readFile(join(DIST, file)).catch(() => undefined)));
    if (!bytes) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(bytes);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  browser = await browse();
});

after(async () => {
  await browser?.close();
  server?.close();
});

// A page of a browser that has never been here, and what its console complains of.
async function open() {
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  await page.goto(`http://127.0.0.1:${server.address().port}${PREFIX}`);
  await page.waitForSelector("main");
  return { context, page, complaints };
}

test("the page works below a path, from its own files only, and breaks none of its own rules", async () => {
  requests.length = 0;
  const { context, page, complaints } = await open();
  const seen = [];
  page.on("request", (request) => seen.push(request.url()));
  await page.evaluate(() => navigator.serviceWorker.ready);
  const origin = `http://127.0.0.1:${server.address().port}${PREFIX}`;
  assert.deepEqual(seen.filter((url) => !url.startsWith(origin) && !url.startsWith("blob:")), []);
  assert.deepEqual(requests.filter((path) => !path.startsWith(PREFIX) && path !== "/favicon.ico"), []);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a script that somebody brings into the page does not run, and nothing goes elsewhere", async () => {
  const { context, page } = await open();
  const refused = await page.evaluate(async () => {
    const violations = [];
    document.addEventListener("securitypolicyviolation", (event) => violations.push(event.effectiveDirective));
    const script = document.createElement("script");
    script.textContent = "window.wasHere = true";
    document.body.append(script);
    await fetch("https://example.invalid/").catch(() => {});
    await new Promise((done) => setTimeout(done, 100));
    return { violations, wasHere: window.wasHere ?? false };
  });
  assert.equal(refused.wasHere, false);
  assert.ok(refused.violations.includes("script-src-elem"), `${refused.violations}`);
  assert.ok(refused.violations.includes("connect-src"), `${refused.violations}`);
  await context.close();
});

test("a list of models that is edited later is seen at the next visit", async () => {
  const { context, page } = await open();
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  await page.waitForSelector("main");
  const list = () => page.evaluate(async () => (await (await fetch("models.json")).json()).models.length);
  const before = await list();
  edited = JSON.stringify({ models: [] });
  assert.equal(await list(), 0);
  edited = undefined;
  assert.equal(await list(), before);
  await context.close();
});

test("after the first visit the page opens without a network", async () => {
  const { context, page, complaints } = await open();
  await page.evaluate(() => navigator.serviceWorker.ready);
  await context.setOffline(true);
  await page.reload();
  await page.waitForSelector("main");
  assert.match(await page.title(), /Encaustic/);
  assert.deepEqual(complaints, []);
  await context.close();
});
