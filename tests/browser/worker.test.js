// The engine in a browser, on WebGPU, against the native program on the processor.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { decode, encode, psnr } from "./png.js";
import { encaustic, ROOT } from "./program.js";
import { serve } from "./server.js";
import { browse, Worker } from "./worker.js";

const REQUEST = { prompt: "a red circle above a blue square", seed: 1, steps: 4, width: 128, height: 128 };
// A software GPU takes its time: where the picture does not matter, it is a small one.
const SMALL = { ...REQUEST, width: 64, height: 64, steps: 1 };

let browser, server, folder;

before(async () => {
  server = await serve(join(ROOT, "dist"));
  browser = await browse();
  folder = await mkdtemp(join(tmpdir(), "encaustic-"));
});

after(async () => {
  await browser?.close();
  server?.close();
  await rm(folder, { recursive: true, force: true });
});

// What the native program draws.
async function native({ prompt, seed, steps, width, height }) {
  const file = join(folder, "native.png");
  const words = ["generate", prompt, "--device", "cpu"];
  for (const [name, value] of Object.entries({ seed, steps, width, height, out: file })) words.push(`--${name}`, String(value));
  await encaustic(...words);
  return decode(await readFile(file));
}

// A worker with the demo model.
async function loaded(script) {
  const worker = await Worker.start(browser, server.address, script);
  await worker.send({ load: { from: { address: "models/demo" }, precision: "f32" } });
  const loaded = await worker.wait((news) => news.loaded ?? news.not_loaded);
  assert.ok(loaded.card, JSON.stringify(loaded));
  return { worker, loaded };
}

const submit = (job, request) => ({ submit: { job, request } });

test("the first picture is the native program's", async (t) => {
  const { worker, loaded: model } = await loaded();
  t.diagnostic(`loaded: ${JSON.stringify(model)}`);
  const begun = performance.now();
  await worker.command(submit(1, REQUEST));
  const last = await worker.last(1);
  t.diagnostic(`made in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  assert.ok(last.finished, JSON.stringify(last));
  assert.deepEqual(last.finished, [{ name: "1-0", seed: 1, width: 128, height: 128 }]);
  const changes = worker.changes(1);
  assert.deepEqual(changes.map(({ seq }) => seq), changes.map((_, at) => at), "events are numbered in order");
  const steps = changes.filter(({ change }) => change.progress?.stage === "denoise").map(({ change }) => change.progress.done);
  assert.deepEqual(steps, [1, 2, 3, 4]);

  const picture = worker.pictures["1-0"];
  if (process.env.ENCAUSTIC_PICTURE) await writeFile(process.env.ENCAUSTIC_PICTURE, encode(picture));
  const alike = psnr(picture, await native(REQUEST));
  t.diagnostic(`PSNR ${alike.toFixed(1)} dB`);
  assert.ok(alike >= 40, `${alike} dB`);
  assert.deepEqual(worker.complaints, []);
  await worker.close();
});

test("a cancel is answered after the step that runs", async (t) => {
  const { worker } = await loaded();
  await worker.command(submit(1, { ...SMALL, steps: 200 }));
  await worker.command(submit(2, SMALL));
  await worker.wait((news) => news.event?.job?.change?.progress?.stage === "denoise");
  await worker.command({ cancel: 2 });
  await worker.command({ cancel: 1 });
  const steps = () => worker.changes(1).filter(({ change }) => change.progress?.stage === "denoise").length;
  const [sent, before] = [performance.now(), steps()];
  assert.equal(await worker.last(1), "cancelled");
  t.diagnostic(`${((performance.now() - sent) / 1000).toFixed(2)} s and ${steps() - before} steps later`);
  assert.ok(steps() - before <= 1, `${steps() - before} steps`);
  assert.equal(await worker.last(2), "cancelled");
  // What comes next is done as if nothing had been.
  await worker.command(submit(3, SMALL));
  assert.ok((await worker.last(3)).finished);
  assert.deepEqual(worker.complaints, []);
  await worker.close();
});

for (const [kind, words] of [["flipped", "SHA-256"], ["short", "cut short"], ["long", "more than"]]) {
  test(`a shard that is ${kind} is refused by its name`, async () => {
    const worker = await Worker.start(browser, server.address);
    await worker.send({ load: { from: { address: `models/${kind}` } } });
    const refusal = await worker.wait((news) => news.loaded ?? news.not_loaded);
    assert.equal(refusal.kind, "model");
    assert.match(refusal.message, /model-00001\.safetensors/);
    assert.ok(refusal.message.includes(words), refusal.message);
    // The worker lives on, and says what it lacks.
    await worker.command(submit(1, REQUEST));
    assert.match((await worker.last(1)).failed.message, /no model is loaded/);
    assert.deepEqual(worker.complaints, []);
    await worker.close();
  });
}

test("a model that is not there is refused by its address", async () => {
  const worker = await Worker.start(browser, server.address);
  await worker.send({ load: { from: { address: "models/nothing" } } });
  const refusal = await worker.wait((news) => news.loaded ?? news.not_loaded);
  assert.match(refusal.message, /models\/nothing\/manifest\.json cannot be fetched: the server answers 404/);
  await worker.close();
});

test("without WebGPU a sentence says so", async () => {
  const worker = await Worker.start(browser, server.address, "no-webgpu.js");
  await worker.send({ load: { from: { address: "models/demo" } } });
  const refusal = await worker.wait((news) => news.loaded ?? news.not_loaded);
  assert.equal(refusal.kind, "device");
  assert.match(refusal.message, /this browser has no WebGPU/);
  assert.deepEqual(worker.complaints, []);
  await worker.close();
});

test("a device that cannot be opened is told", async () => {
  const worker = await Worker.start(browser, server.address, "refusing.js");
  await worker.send({ load: { from: { address: "models/demo" } } });
  const refusal = await worker.wait((news) => news.loaded ?? news.not_loaded);
  assert.equal(refusal.kind, "device");
  assert.match(refusal.message, /cannot be used: .*not today/);
  await worker.close();
});

for (const [script, words] of [["breaking.js", /the driver has gone/], ["alone/worker.js", /worker_bg\.wasm cannot be started/]]) {
  test(`a worker that breaks down says so: ${script}`, async () => {
    const worker = await Worker.start(browser, server.address, script);
    await worker.send({ load: { from: { address: "models/demo" } } });
    assert.match((await worker.wait((news) => news.dead)).message, words);
    await worker.close();
  });
}

test("an adapter that cannot measure time will do", async () => {
  const { worker } = await loaded("no-timestamps.js");
  await worker.command(submit(1, SMALL));
  assert.ok((await worker.last(1)).finished);
  assert.deepEqual(worker.complaints, []);
  await worker.close();
});

test("what is no order is answered, and changes nothing", async () => {
  const worker = await Worker.start(browser, server.address);
  for (const order of ["", "{", "{}", "[]", '{"command":{"submit":7}}', '{"command":"describe","x":1}', { load: {} }]) {
    const before = worker.news.length;
    await worker.send(order);
    const answer = await worker.wait((news) => worker.news.indexOf(news) >= before && news.misunderstood);
    assert.ok(answer.message.length > 10);
  }
  await worker.command("describe");
  const catalog = await worker.wait((news) => news.event?.catalog);
  assert.ok(catalog.samplers.length > 10);
  await worker.close();
});
