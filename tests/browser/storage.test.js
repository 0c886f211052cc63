// What the worker keeps in the browser's storage: fetched once, checked, gone on with, deleted. None of this opens the device:
// a load is watched until its files are there, and then the page is closed.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { checkpoint } from "./checkpoint.js";
import { serve } from "./server.js";
import { browse, Worker } from "./worker.js";

const ROOT = join(import.meta.dirname, "../..");
const FIRST = "model-00001.safetensors";

let browser, server, context;

before(async () => {
  server = await serve(join(ROOT, "dist"));
  browser = await browse();
});

after(async () => {
  await browser?.close();
  server?.close();
});

// What one test keeps is no other's.
beforeEach(async () => {
  context = await browser.newContext();
  server.forget();
});

afterEach(async () => {
  await context.close();
});

const load = (from) => ({ load: { from } });
const models = (worker) => worker.ask("models", (news) => news.models);
// The end of a load's first part: all files are there and right; or why they are not.
const gathered = (news) => (news.loading?.stage === "device" ? "whole" : (news.not_loaded ?? false));

// Loads what is at models/KIND in a page of its own, as far as its files.
async function fetched(kind, script) {
  const worker = await Worker.start(context, server.address, script);
  const outcome = await worker.ask(load({ address: `models/${kind}` }), gathered);
  return { worker, outcome };
}

// Does something to a kept file of the only model: from a page, as anybody could.
async function tamper(how) {
  const page = await context.newPage();
  await page.goto(server.address);
  await page.evaluate(
    async ([how, name]) => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("models");
      for await (const model of folder.values()) {
        if (how === "removed") return await model.removeEntry(name);
        const file = await model.getFileHandle(name);
        const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
        if (how === "flipped") bytes[bytes.length >> 1] ^= 1;
        const length = { flipped: bytes.length, truncated: bytes.length >> 1, empty: 0, long: bytes.length }[how];
        const writer = await file.createWritable();
        await writer.write(bytes.subarray(0, length));
        if (how === "long") await writer.write(new Uint8Array(7));
        await writer.close();
      }
    },
    [how, FIRST],
  );
  await page.close();
}

const clean = (worker) => assert.deepEqual(worker.complaints, []);

test("what is kept is not fetched again", async () => {
  const first = await fetched("two");
  assert.equal(first.outcome, "whole");
  assert.equal(server.shards("two").length, 2);
  await first.worker.close();

  const { worker, outcome } = await fetched("two");
  assert.equal(outcome, "whole");
  assert.equal(server.shards("two").length, 2);
  clean(worker);
  await worker.close();

  const other = await Worker.start(context, server.address);
  const storage = await models(other);
  assert.equal(storage.place, "opfs");
  assert.equal(storage.models.length, 1);
  const [model] = storage.models;
  assert.deepEqual([model.family, model.address, model.bytes], ["sd1", "models/two", model.of]);
  assert.match(model.title, /model in the box/);
  assert.ok(storage.used > model.bytes && storage.quota > storage.used, JSON.stringify(storage));
  // By its id nothing is asked of a server.
  server.forget();
  assert.equal(await other.ask(load({ stored: model.id }), gathered), "whole");
  assert.deepEqual(server.requests, []);
  await other.close();
});

test("a connection that breaks is taken up where it broke", async () => {
  const { worker, outcome } = await fetched("cut");
  assert.equal(outcome, "whole");
  const asked = server.shards("cut").map(({ range, status }) => [range !== null && range !== "bytes=0-", status]);
  assert.deepEqual(asked, [[false, 200], [true, 206], [false, 200], [true, 206]]);
  await worker.close();
});

test("a stopped download goes on in another worker", async () => {
  const worker = await Worker.start(context, server.address);
  await worker.send(load({ address: "models/slow" }));
  await worker.wait((news) => news.loading?.bytes > 2e6);
  const begun = performance.now();
  await worker.send('"stop"');
  const failure = await worker.wait((news) => news.not_loaded);
  assert.match(failure.message, /stopped; what has come is kept/);
  assert.ok(performance.now() - begun < 1000);
  const [model] = (await models(worker)).models;
  assert.ok(model.bytes > 1e6 && model.bytes < model.of, JSON.stringify(model));
  clean(worker);
  await worker.close();

  server.forget();
  const next = await fetched("slow");
  assert.equal(next.outcome, "whole");
  const [first] = server.shards("slow");
  assert.equal(first.status, 206);
  assert.match(first.range, /^bytes=[1-9]\d+-$/);
  await next.worker.close();
});

test("a stop before the load has begun takes it back", async () => {
  const worker = await Worker.start(context, server.address);
  await worker.page.evaluate(() => {
    const load = (kind) => JSON.stringify({ load: { from: { address: `models/${kind}` } } });
    self.engine.postMessage(load("slow"));
    self.engine.postMessage(load("two"));
  });
  await worker.wait((news) => news.loading);
  await worker.send('"stop"');
  assert.match((await worker.wait((news) => news.not_loaded)).message, /stopped/);
  // The second is another order.
  await worker.wait((news) => gathered(news) === "whole");
  await worker.close();
});

for (const how of ["flipped", "truncated", "empty", "long", "removed"]) {
  test(`a kept shard that was ${how} is fetched again, alone and once`, async () => {
    await (await fetched("two")).worker.close();
    await tamper(how);
    server.forget();
    const { worker, outcome } = await fetched("two");
    assert.equal(outcome, "whole");
    assert.deepEqual(server.shards("two").map(({ path }) => path), [`/models/two/${FIRST}`]);
    clean(worker);
    await worker.close();
    server.forget();
    const again = await fetched("two");
    assert.equal(again.outcome, "whole");
    assert.equal(server.shards("two").length, 0);
    await again.worker.close();
  });
}

test("a server without ranges is asked for the whole", async () => {
  await (await fetched("rangeless")).worker.close();
  await tamper("truncated");
  server.forget();
  const { worker, outcome } = await fetched("rangeless");
  assert.equal(outcome, "whole");
  assert.deepEqual(server.shards("rangeless").map(({ status }) => status), [200]);
  await worker.close();
});

test("a server that has another file is asked twice, and then it is said", async () => {
  const { worker, outcome } = await fetched("lying");
  assert.equal(outcome.kind, "model");
  assert.match(outcome.message, new RegExp(`^${FIRST}: the SHA-256 is not the manifest's, also of a second copy`));
  assert.equal(server.shards("lying").length, 2);
  await worker.close();
});

test("what has no room is told with numbers, and nothing stands in the way of the next try", async () => {
  // Known before anything is fetched, where the browser tells,
  const { worker: told, outcome: early } = await fetched("two", "tight.js");
  assert.equal(early.kind, "storage");
  assert.match(early.message, /^20\.8 MB more have to be kept in the browser, and 10 MB are free: delete models/);
  assert.equal(server.shards("two").length, 0);
  await told.close();
  // and found out while it is written, where it does not.
  const { worker } = await fetched("nothing");
  const session = await context.newCDPSession(worker.page);
  const origin = server.address.replace(/\/$/, "");
  const allow = (quotaSize) => session.send("Storage.overrideQuotaForOrigin", { origin, ...(quotaSize ? { quotaSize } : {}) });
  await allow(8e6);
  const late = await worker.ask(load({ address: "models/two" }), gathered);
  assert.equal(late.kind, "storage");
  assert.match(late.message, /^[\d.]+ MB more have to be kept in the browser, and .*: delete models/);
  await allow();
  assert.equal(await worker.ask(load({ address: "models/two" }), gathered), "whole");
  await worker.close();
});

test("a model is deleted", async () => {
  const { worker } = await fetched("two");
  await worker.close();
  const other = await Worker.start(context, server.address);
  const [model] = (await models(other)).models;
  assert.deepEqual((await other.ask({ forget: { id: model.id } }, (news) => news.models)).models, []);
  assert.match((await other.ask(load({ stored: model.id }), gathered)).message, /not in the browser's storage any more/);
  for (const id of ["..", "", "A", "a/b"]) {
    assert.match((await other.ask({ forget: { id } }, (news) => news.misunderstood)).message, /no such model/);
    assert.match((await other.ask(load({ stored: id }), gathered)).message, /not in the browser's storage/);
  }
  clean(other);
  await other.close();
});

test("a model that is being fetched is not deleted", async () => {
  const worker = await Worker.start(context, server.address);
  await worker.send(load({ address: "models/slow" }));
  await worker.wait((news) => news.loading?.bytes > 1e6);
  const [model] = (await models(worker)).models;
  const answer = await worker.ask({ forget: { id: model.id } }, (news) => news.misunderstood);
  assert.match(answer.message, /being fetched/);
  await worker.close();
});

for (const [script, place] of [["no-opfs.js", "cache"], ["no-storage.js", "memory"]]) {
  test(`without a private file system models are kept in: ${place}`, async () => {
    const { worker, outcome } = await fetched("two", script);
    assert.equal(outcome, "whole");
    const storage = await models(worker);
    assert.equal(storage.place, place);
    assert.equal(storage.models[0].bytes, storage.models[0].of);
    clean(worker);
    await worker.close();
    server.forget();
    const again = await fetched("two", script);
    assert.equal(again.outcome, "whole");
    assert.equal(server.shards("two").length, place === "cache" ? 0 : 2);
    await again.worker.close();
    const other = await Worker.start(context, server.address, script);
    for (const { id } of (await models(other)).models) await other.ask({ forget: { id } }, (news) => news.models);
    assert.deepEqual((await models(other)).models, []);
    await other.close();
  });
}

test("a model is looked at before it is loaded", async () => {
  const worker = await Worker.start(context, server.address);
  const look = { look: { from: { address: "models/two" } } };
  const outlook = await worker.ask(look, (news) => news.outlook ?? news.not_seen);
  assert.equal(outlook.family, "sd1");
  assert.equal(outlook.to_fetch, outlook.bytes);
  assert.equal(outlook.precision, "f32");
  assert.equal(outlook.obstacle, null);
  assert.equal(outlook.residency, "all");
  assert.ok(outlook.needs_all > 2 * outlook.bytes && outlook.needs_all < 2e8, JSON.stringify(outlook));
  assert.ok(outlook.needs_in_turn < outlook.needs_all);
  assert.ok(outlook.largest_buffer >= 1 << 27 && outlook.free > 1e8);
  assert.equal(server.shards("two").length, 0);
  const missing = await worker.ask({ look: { from: { address: "models/nothing" } } }, (news) => news.not_seen);
  assert.match(missing.message, /404/);
  await worker.close();

  const small = await Worker.start(context, server.address, "small.js");
  const cramped = await small.ask(look, (news) => news.outlook ?? news.not_seen);
  assert.match(cramped.obstacle, /^one tensor of this model \(.+ of unet\) has 2\.7 MB in f32, and a buffer of this device 1 MB at most/);
  await small.close();
});

test("a file is looked at, and what is no model is refused", async () => {
  const worker = await Worker.start(context, server.address);
  const look = async (bytes, name = "mine.safetensors") => {
    worker.forget();
    await worker.sendFile({ look: { from: "file" } }, name, bytes);
    return await worker.wait((news) => news.outlook ?? news.not_seen);
  };
  const outlook = await look(await checkpoint({ metadata: { "modelspec.title": "Tiny", "modelspec.license": "CC0" } }));
  assert.deepEqual([outlook.title, outlook.family, outlook.license, outlook.to_fetch], ["Tiny", "sd1", "CC0", 0]);
  assert.ok(outlook.needs_all > outlook.bytes, "f16 in the file, f32 on the device");
  assert.equal((await look(await checkpoint())).title, "mine");
  for (const [bytes, words] of [
    [Buffer.from("not a model at all"), /^mine\.safetensors: /],
    [Buffer.alloc(0), /^mine\.safetensors: /],
    [await checkpoint({ without: ["cond_stage_model."] }), /^mine\.safetensors: this is a checkpoint; its family is not known/],
    [await checkpoint({ without: ["model.diffusion_model."] }), /^mine\.safetensors: this is /],
    [await checkpoint({ without: ["first_stage_model."] }), /^mine\.safetensors: the file has no VAE/],
  ]) {
    const refusal = await look(bytes);
    assert.equal(refusal.kind, "model", JSON.stringify(refusal));
    assert.match(refusal.message, words);
  }
  const alone = await worker.ask({ look: { from: "file" } }, (news) => news.not_seen);
  assert.match(alone.message, /needs a file beside it/);
  clean(worker);
  await worker.close();
});

test("tokens are counted, by CLIP's vocabulary where no model is loaded", async () => {
  const worker = await Worker.start(context, server.address);
  const texts = ["", "a", "a photo of a cat", "Red circle, above a blue square!", "a ".repeat(80)];
  const counted = await worker.ask({ count: { id: 7, texts } }, (news) => news.counted);
  assert.deepEqual(counted, { id: 7, tokens: [0, 1, 5, 8, 80] });
  await worker.close();
});

test("WebAssembly's memory holds no shards", async () => {
  const worker = await Worker.start(context, server.address, "measured.js");
  assert.equal(await worker.ask(load({ address: "models/two" }), gathered), "whole");
  const bytes = await worker.page.evaluate(
    () => new Promise((done) => {
      const channel = new BroadcastChannel("memory");
      channel.onmessage = ({ data }) => typeof data === "number" && done(data);
      channel.postMessage("ask");
    }),
  );
  // The program itself has some 20 MB; a shard, 10.
  assert.ok(bytes < 32 << 20, `${bytes} bytes`);
  await worker.close();
});
