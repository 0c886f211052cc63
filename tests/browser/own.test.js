// Files of the user's, on the device: read in place, packed, loaded again; previews; a device that is lost.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { checkpoint } from "./checkpoint.js";
import { psnr } from "./png.js";
import { serve } from "./server.js";
import { browse, Worker } from "./worker.js";

const ROOT = join(import.meta.dirname, "../..");
// A software GPU takes its time.
const PATIENCE = Number(process.env.ENCAUSTIC_PATIENCE ?? 300);
const REQUEST = { prompt: "a", seed: 1, steps: 2, cfg: 1, width: 64, height: 64 };

let browser, server;

before(async () => {
  server = await serve(join(ROOT, "dist"));
  browser = await browse();
});

after(async () => {
  await browser?.close();
  server?.close();
});

const submit = (job, request) => ({ submit: { job, request } });
const outcome = (news) => news.loaded ?? news.not_loaded;

async function draw(worker, job, request = REQUEST) {
  await worker.command(submit(job, request));
  const last = await worker.last(job);
  assert.ok(last.finished, JSON.stringify(last));
  return worker.pictures[last.finished[0].name];
}

test("a checkpoint of the user's is read in place, packed, and loaded again", async (t) => {
  const worker = await Worker.start(browser, server.address);
  const file = await checkpoint({ metadata: { "modelspec.title": "Tiny" } });
  await worker.sendFile({ load: { from: "file", precision: "f32" } }, "mine.safetensors", file);
  const loaded = await worker.wait(outcome, PATIENCE);
  assert.ok(loaded.card, JSON.stringify(loaded));
  t.diagnostic(JSON.stringify(loaded.seconds));
  assert.deepEqual([loaded.card.family, loaded.card.title, loaded.bytes], ["sd1", "Tiny", file.length]);
  assert.deepEqual(loaded.card.sizes[0], [512, 512]);
  const stages = [...new Set(worker.news.filter((news) => news.loading).map((news) => news.loading.stage))];
  assert.deepEqual(stages, ["device", "weights"]);
  // Random networks make a picture that depends little on its latents: what is compared is mostly the autoencoder.
  const original = await draw(worker, 1);
  t.diagnostic(`${new Set(original.rgb).size} different values`);

  for (const dtype of ["f16", "q8"]) {
    worker.forget();
    await worker.sendFile({ pack: { title: `Mine in ${dtype}`, dtype } }, "mine.safetensors", file);
    const packed = await worker.wait((news) => news.packed ?? news.not_packed, PATIENCE);
    assert.equal(packed.title, `Mine in ${dtype}`, JSON.stringify(packed));
    assert.ok(worker.news.some((news) => news.packing?.bytes === news.packing?.of && news.packing), "its progress is told");
    const { models } = await worker.ask("models", (news) => news.models);
    assert.ok(models.some((model) => model.id === packed.id && model.bytes === model.of && model.bytes > 1e6));
    worker.forget();
    await worker.send({ load: { from: { stored: packed.id }, precision: "f32", residency: dtype === "q8" ? "in_turn" : "all" } });
    const again = await worker.wait(outcome, PATIENCE);
    assert.equal(again.card?.title, `Mine in ${dtype}`, JSON.stringify(again));
    assert.equal(again.residency, dtype === "q8" ? "in_turn" : "all");
    const alike = psnr(await draw(worker, dtype === "f16" ? 2 : 3), original);
    t.diagnostic(`${dtype}: ${packed.bytes} bytes, PSNR ${alike.toFixed(1)} dB`);
    assert.ok(alike > (dtype === "f16" ? 60 : 10), `${alike} dB`);
    if (dtype === "q8") {
      const refusal = await worker.ask({ forget: { id: packed.id } }, (news) => news.misunderstood);
      assert.match(refusal.message, /in use, and read again for every picture/);
    } else {
      await worker.ask({ forget: { id: packed.id } }, (news) => news.models && !news.models.models.some(({ id }) => id === packed.id));
    }
  }
  // Nothing is left of a packing that was stopped.
  worker.forget();
  await worker.sendFile({ pack: { title: "Stopped", dtype: "f32" } }, "mine.safetensors", file);
  await worker.wait((news) => news.packing, PATIENCE);
  await worker.send('"stop"');
  const stopped = await worker.wait((news) => news.packed ?? news.not_packed, PATIENCE);
  assert.match(stopped.message ?? "", /stopped; nothing of it is kept/, JSON.stringify(stopped));
  const { models } = await worker.ask("models", (news) => news.models);
  assert.ok(!models.some((model) => model.title === "Stopped"));
  assert.deepEqual(worker.complaints, []);
  await worker.close();
});

test("previews come with the steps, and a device that is lost is told within a second, also while nothing is done", async (t) => {
  const worker = await Worker.start(browser, server.address, "losing.js");
  await worker.send({ load: { from: { address: "models/demo" } } });
  const loaded = await worker.wait(outcome, PATIENCE);
  assert.ok(loaded.card, JSON.stringify(loaded));
  await draw(worker, 1, { ...REQUEST, prompt: "a red circle" });

  // Previews come with the steps, each behind its pixels.
  const previews = worker.changes(1).filter(({ change }) => change.preview).map(({ change }) => change.preview);
  assert.ok(previews.length >= 1, "no preview came");
  for (const { name, width, height, seed } of previews) {
    assert.deepEqual([width, height, seed], [8, 8, 1]);
    const pixels = worker.news.findIndex((news) => news.picture?.name === name);
    const event = worker.news.findIndex((news) => news.event?.job?.change?.preview?.name === name);
    assert.ok(pixels >= 0 && pixels < event);
  }
  // The finished picture says how it was made.
  const { picture } = worker.news.find((news) => news.picture?.name === "1-0");
  assert.match(picture.parameters, /^a red circle\nSteps: 2, Sampler: .+, Seed: 1, Size: 64x64, Model: Encaustic's model in the box/);

  // The words of the model's own vocabulary.
  const counted = await worker.ask({ count: { id: 1, texts: ["a red circle above a blue square"] } }, (news) => news.counted);
  assert.deepEqual(counted.tokens, [7]);

  const begun = performance.now();
  await worker.page.evaluate(() => new BroadcastChannel("lose").postMessage("now"));
  const dead = await worker.wait((news) => news.dead, 20);
  t.diagnostic(`${(performance.now() - begun).toFixed(0)} ms`);
  assert.equal(dead.device_lost, true);
  assert.match(dead.message, /the graphics card was lost/);
  assert.ok(performance.now() - begun < 1000);
  await worker.close();
});
