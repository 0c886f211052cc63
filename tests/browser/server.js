// The server of the tests: the files of dist/, and models that are damaged on purpose.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";

const TYPES = { ".js": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };
const PAGE = '<!doctype html><html lang="en"><title>Encaustic</title><link rel="icon" href="data:,">';

// A browser in which an adapter cannot measure time, as some cannot: the worker must do without.
const NO_TIMESTAMPS = `
  const own = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, "features").get;
  Object.defineProperty(GPUAdapter.prototype, "features", {
    get() { return new Set([...own.call(this)].filter((name) => !name.startsWith("timestamp-query"))); },
  });
  importScripts("worker.js");`;

// A browser without WebGPU.
const NO_WEBGPU = `
  Object.defineProperty(WorkerNavigator.prototype, "gpu", { get() { return undefined; } });
  importScripts("worker.js");`;

// A browser that will not open the device, and one that breaks while the engine uses it.
const REFUSING = `
  GPUAdapter.prototype.requestDevice = () => Promise.reject(new Error("not today"));
  importScripts("worker.js");`;
const BREAKING = `
  GPUDevice.prototype.createComputePipeline = () => { throw new Error("the driver has gone"); };
  importScripts("worker.js");`;

const WORKERS = { "no-timestamps": NO_TIMESTAMPS, "no-webgpu": NO_WEBGPU, refusing: REFUSING, breaking: BREAKING };

// What becomes of a shard under /models/NAME/.
const DAMAGE = {
  flipped: (bytes) => bytes.map((byte, at) => (at === bytes.length >> 1 ? byte ^ 1 : byte)),
  short: (bytes) => bytes.subarray(0, bytes.length - 1),
  long: (bytes) => Buffer.concat([bytes, Buffer.from([0])]),
};

// Serves `dist` at an address of its own.
export async function serve(dist) {
  const server = createServer(async (request, response) => {
    const answer = (status, type, body) => response.writeHead(status, { "content-type": type }).end(body);
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    if (path === "/") return answer(200, "text/html", PAGE);
    const script = WORKERS[path.slice(1, -".js".length)];
    if (script) return answer(200, TYPES[".js"], script);
    const [, kind, file] = path.match(/^\/models\/(flipped|short|long)\/([^/]+)$/) ?? [];
    try {
      // The script without its WebAssembly beside it.
      const name = path === "/alone/worker.js" ? "worker.js" : path;
      const bytes = await readFile(join(dist, kind ? `models/demo/${file}` : name));
      const body = kind && file.endsWith(".safetensors") ? DAMAGE[kind](bytes) : bytes;
      answer(200, TYPES[extname(path)] ?? "application/octet-stream", body);
    } catch {
      answer(404, "text/plain", "there is no such file");
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}
