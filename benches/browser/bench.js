// The engine in Chromium: seconds per stage of a fixed request, and seconds per call of the UNet beside onnxruntime-web.
//
//   node benches/browser/bench.js [--dist dist] [--steps 25] [--size 128] [--onnx FOLDER] [--rounds 3] [--json]
//
// FOLDER is what export_unet.py wrote. See README.md.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, extname, join, normalize } from "node:path";
import { parseArgs } from "node:util";
import { browse, Worker } from "../../tests/browser/worker.js";
import { busy } from "./processes.js";

const { values: options } = parseArgs({
  options: {
    dist: { type: "string", default: join(import.meta.dirname, "../../dist") },
    steps: { type: "string", default: "25" },
    size: { type: "string", default: "128" },
    onnx: { type: "string" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});

// The same as `app/src/bench.rs` has.
const REQUEST = { prompt: "a red circle above a blue square", seed: 1, cfg: 3 };
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };
const PAGE = '<!doctype html><html lang="en"><title>Bench</title><link rel="icon" href="data:,">';
// Calls of the UNet in a round of the comparison, and steps of the engine's.
const CALLS = 5;

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

// Serves folders by the first part of a path, and an empty page at the top.
async function serve(folders) {
  const server = createServer(async (request, response) => {
    const [, first, ...rest] = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname)).split("/");
    if (!first) return response.writeHead(200, { "content-type": TYPES[".html"] }).end(PAGE);
    try {
      const path = join(folders[first], ...rest);
      const body = await readFile(path);
      response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

// Has the worker make a picture; tells how long its stages took.
async function picture(worker, job, request) {
  const begun = { at: performance.now() / 1000, cpu: busy() };
  await worker.command({ submit: { job, request } });
  const last = await worker.last(job);
  if (!last.finished) throw new Error(JSON.stringify(last));
  const cpu = busy();
  const news = worker.news.filter((news) => news.event?.job?.job === job);
  const moments = news.map(({ at, event }) => ({ at, stage: event.job.change.progress?.stage }));
  const of = (stage) => moments.filter((moment) => moment.stage === stage).map((moment) => moment.at);
  const [text, steps, decode] = ["text", "denoise", "decode"].map(of);
  const lengths = steps.map((at, index) => at - (steps[index - 1] ?? text.at(-1)));
  return {
    text: text.at(-1) - begun.at,
    first_step: lengths[0],
    step: lengths.length > 1 ? median(lengths.slice(1)) : lengths[0],
    steps: steps.at(-1) - text.at(-1),
    vae: decode.at(-1) - steps.at(-1),
    total: moments.at(-1).at - begun.at,
    gpu_cpu: cpu.gpu - begun.cpu.gpu,
    page_cpu: cpu.page - begun.cpu.page,
  };
}

// Opens onnxruntime-web with the UNet; what comes back calls it, and gives seconds per call and the farthest number.
async function onnx(browser, address) {
  const page = await browser.newPage();
  await page.goto(address);
  const start = async () => {
    const ort = await import("/ort/ort.webgpu.min.mjs");
    ort.env.wasm.wasmPaths = "/ort/";
    ort.env.wasm.numThreads = 1;
    const call = await (await fetch("/onnx/call.json")).json();
    const load = async (name) => new Float32Array(await (await fetch(`/onnx/${name}.bin`)).arrayBuffer());
    const feeds = {};
    for (const name of ["sample", "timestep", "encoder_hidden_states"]) feeds[name] = new ort.Tensor("float32", await load(name), call[name]);
    const expected = await load("out");
    const session = await ort.InferenceSession.create("/onnx/unet.onnx", { executionProviders: ["webgpu"] });
    self.call = async () => {
      const { out } = await session.run(feeds);
      const found = await out.getData();
      return Math.max(...found.map((value, index) => Math.abs(value - expected[index])));
    };
  };
  const begun = performance.now();
  await page.evaluate(start);
  const opened = (performance.now() - begun) / 1000;
  const calls = async (count) => {
    const before = busy();
    const seconds = await page.evaluate(async (count) => {
      const times = [];
      for (let index = 0; index < count; index++) {
        const begun = performance.now();
        self.off = await self.call();
        times.push((performance.now() - begun) / 1000);
      }
      return times;
    }, count);
    const after = busy();
    const cpu = (after.gpu - before.gpu + after.page - before.page) / count;
    return { seconds, cpu, off: await page.evaluate(() => self.off) };
  };
  return { opened, calls };
}

// Both, in turns: machines change their pace with load and heat.
async function compare(browser, address, worker, request) {
  const theirs = await onnx(browser, address);
  const cold = await theirs.calls(1);
  const rounds = [];
  let job = 100;
  for (let round = 0; round < Number(options.rounds); round++) {
    const them = await theirs.calls(CALLS);
    const us = await picture(worker, job, { ...request, steps: CALLS + 1 });
    // What a picture costs beside its steps is taken out by one that has a single step.
    const base = await picture(worker, job + 1, { ...request, steps: 1 });
    job += 2;
    const cpu = (us.gpu_cpu + us.page_cpu - base.gpu_cpu - base.page_cpu) / CALLS;
    rounds.push({ us: us.step, them: median(them.seconds), us_cpu: cpu, them_cpu: them.cpu, off: them.off });
  }
  const of = (name) => median(rounds.map((round) => round[name]));
  const result = { us: of("us"), onnxruntime: of("them"), us_cpu: of("us_cpu"), onnxruntime_cpu: of("them_cpu") };
  const first = { onnxruntime_open: theirs.opened, onnxruntime_first: cold.seconds[0], onnxruntime_off: of("off") };
  return { ...result, ratio: result.us / result.onnxruntime, ratio_cpu: result.us_cpu / result.onnxruntime_cpu, ...first, rounds };
}

function print(result) {
  const rows = [["", "cold", "warm"]];
  for (const name of Object.keys(result.cold)) rows.push([name, result.cold[name].toFixed(2), result.warm[name].toFixed(2)]);
  console.log(`load: ${JSON.stringify(result.load)}`);
  for (const row of rows) console.log(row.map((cell, index) => (index ? cell.padStart(9) : cell.padEnd(12))).join(""));
  if (!result.unet) return;
  console.log("\nUNet, one call:");
  for (const [name, value] of Object.entries(result.unet)) if (name !== "rounds") console.log(`${name.padEnd(20)}${value.toPrecision(3)}`);
}

const folders = { dist: options.dist };
if (options.onnx) {
  folders.onnx = options.onnx;
  folders.ort = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/webgpu"));
}
const server = await serve(folders);
const browser = await browse();
try {
  const worker = await Worker.start(browser, server.address, "dist/worker.js");
  await worker.send({ load: { from: { address: "models/demo" }, precision: "f32" } });
  const loaded = await worker.wait((news) => news.loaded ?? news.not_loaded);
  if (!loaded.seconds) throw new Error(JSON.stringify(loaded));
  const request = { ...REQUEST, width: Number(options.size), height: Number(options.size), steps: Number(options.steps) };
  const cold = await picture(worker, 1, request);
  const warm = await picture(worker, 2, request);
  const result = { request, load: loaded.seconds, cold, warm };
  if (options.onnx) result.unet = await compare(browser, server.address, worker, request);
  if (options.json) console.log(JSON.stringify(result));
  else print(result);
} finally {
  await browser.close();
  server.close();
}
