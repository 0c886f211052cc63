// The server of the tests: the files of dist/, and models that are damaged, slow or cut off on purpose. It remembers what it
// was asked for.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { recut } from "./checkpoint.js";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };
const PAGE = '<!doctype html><html lang="en"><title>Encaustic</title><link rel="icon" href="data:,">';

// Workers in browsers that lack something, by the name of their script.
const begin = (script) => `${script}; importScripts("worker.js");`;
const WORKERS = {
  // An adapter that cannot measure time, as some cannot: the worker must do without.
  "no-timestamps": begin(`
    const own = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, "features").get;
    Object.defineProperty(GPUAdapter.prototype, "features", {
      get() { return new Set([...own.call(this)].filter((name) => !name.startsWith("timestamp-query"))); },
    })`),
  "no-webgpu": begin(`Object.defineProperty(WorkerNavigator.prototype, "gpu", { get() { return undefined; } })`),
  // A browser that will not open the device, and one that breaks while the engine uses it.
  refusing: begin(`GPUAdapter.prototype.requestDevice = () => Promise.reject(new Error("not today"))`),
  breaking: begin(`GPUDevice.prototype.createComputePipeline = () => { throw new Error("the driver has gone"); }`),
  // A device that the test can take away.
  losing: begin(`
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = function (...args) {
      return request.apply(this, args).then((device) => { new BroadcastChannel("lose").onmessage = () => device.destroy(); return device; });
    }`),
  // One that tells how much memory WebAssembly has.
  measured: begin(`
    const start = WebAssembly.instantiateStreaming;
    WebAssembly.instantiateStreaming = async (...args) => {
      const started = await start.apply(WebAssembly, args);
      const channel = new BroadcastChannel("memory");
      channel.onmessage = ({ data }) => data === "ask" && channel.postMessage(started.instance.exports.memory.buffer.byteLength);
      return started;
    }`),
  // Little room, as the browser tells it.
  tight: begin("StorageManager.prototype.estimate = async () => ({ usage: 1e6, quota: 11e6 })"),
  // Small buffers, as on a phone.
  small: begin(`
    const own = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, "limits").get;
    Object.defineProperty(GPUAdapter.prototype, "limits", {
      get() {
        const limits = own.call(this);
        return new Proxy(limits, { get: (_, name) => (/^max(StorageBufferBinding|Buffer)Size$/.test(name) ? 1 << 20 : limits[name]) });
      },
    })`),
  // Browsers without a private file system, and without anything that lasts.
  "no-opfs": begin("StorageManager.prototype.getDirectory = undefined"),
  "no-storage": begin("StorageManager.prototype.getDirectory = undefined; Object.defineProperty(self, 'caches', { value: undefined })"),
};

// What becomes of a shard under /models/KIND/.
const DAMAGE = {
  flipped: (bytes) => bytes.map((byte, at) => (at === bytes.length >> 1 ? byte ^ 1 : byte)),
  short: (bytes) => bytes.subarray(0, bytes.length - 1),
  long: (bytes) => Buffer.concat([bytes, Buffer.from([0])]),
};

// Serves `dist` at an address of its own. Under /models/two/ and its like is the demo model in two shards: `cut` breaks the
// connection in the middle of the first answer for each shard, `slow` takes its time, `rangeless` knows no ranges,
// `busy` has no time for the first request of each shard; /models/silent/ never answers.
export async function serve(dist) {
  const two = await recut(join(dist, "models/demo"), 2);
  const requests = [];
  const broken = new Set();
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const note = { path, range: request.headers.range ?? null, status: 200 };
    requests.push(note);
    const answer = (status, type, body) => response.writeHead((note.status = status), { "content-type": type }).end(body);
    if (path === "/") return answer(200, "text/html", PAGE);
    const script = WORKERS[path.slice(1, -".js".length)];
    if (script) return answer(200, TYPES[".js"], script);
    const [, kind, file] = path.match(/^\/models\/(\w+)\/([^/]+)$/) ?? [];
    if (kind === "silent") return;
    try {
      // The script without its WebAssembly beside it.
      const name = path === "/alone/worker.js" ? "worker.js" : path;
      const isTwo = ["two", "cut", "slow", "busy", "rangeless", "lying"].includes(kind);
      const whole = isTwo ? two[file] : await readFile(join(dist, DAMAGE[kind] ? `models/demo/${file}` : name));
      if (!whole) throw new Error("there is no such file");
      const isShard = file?.endsWith(".safetensors");
      if (kind === "busy" && isShard && !broken.has(path)) {
        broken.add(path);
        return answer(503, "text/plain", "come again");
      }
      const damage = DAMAGE[kind === "lying" ? "flipped" : kind];
      const bytes = damage && isShard ? damage(whole) : whole;
      const type = TYPES[extname(path)] ?? "application/octet-stream";
      const [, first] = kind !== "rangeless" ? (note.range?.match(/^bytes=(\d+)-$/) ?? []) : [];
      const start = Number(first ?? 0);
      if (start >= bytes.length) return answer(416, "text/plain", "there is no more");
      note.status = first ? 206 : 200;
      const range = first ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {};
      response.writeHead(note.status, { "content-type": type, "content-length": bytes.length - start, ...range });
      const rest = bytes.subarray(start);
      if (kind === "cut" && isShard && !broken.has(path)) {
        broken.add(path);
        response.write(rest.subarray(0, rest.length >> 1), () => setTimeout(() => response.destroy(), 100));
      } else if (kind === "slow" && isShard) {
        for (let at = 0; at < rest.length && !response.destroyed; at += 1 << 18) {
          response.write(rest.subarray(at, at + (1 << 18)));
          await new Promise((done) => setTimeout(done, 100));
        }
        response.end();
      } else response.end(rest);
    } catch {
      answer(404, "text/plain", "there is no such file");
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const shards = (kind) => requests.filter(({ path }) => path.startsWith(`/models/${kind}/`) && path.endsWith(".safetensors"));
  const address = `http://127.0.0.1:${server.address().port}/`;
  return { address, requests, shards, forget: () => (requests.length = 0, broken.clear()), close: () => server.close() };
}
