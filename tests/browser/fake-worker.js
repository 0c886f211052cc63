// A worker without an engine: it answers as the real one does, at once, and does what a test asks for. So tests of the page take
// seconds and need no GPU. The server puts `BEHAVIOUR` (the folder that the page lies in) and `NTH` (how many workers this folder
// has seen) in front of it.
//
// Behaviours: "silent" never says a word, "mute-once" only its first worker, "broken" throws at its start, "full" has no room,
// "old" speaks another language, "shown" has real pictures where the server has some; any other name is a healthy worker.
// Words in a prompt: "die" ends the worker each time, "die-once" the first one, "trap-once" by an uncaught error, "lost-once" with
// a lost device; "fail" fails, "slow" takes its time, "endless" does not end, "still" has no previews.
// Addresses: ".../demo" is small, ".../big" does not fit, ".../slow" comes slowly, ".../heavy" takes long to the device, ".../fatal" ends each worker, ".../none" is not
// there; files whose name has "broken" are no models, and to pack one
// that has "fatal" ends the worker.

/* global BEHAVIOUR, NTH */

const say = (news) => self.postMessage(JSON.stringify(news));
const rest = (ms) => new Promise((done) => setTimeout(done, ms));
const failure = (kind, message) => ({ kind, message });
const MB = 1_000_000;
const DEVICE = BEHAVIOUR === "shown" ? "webgpu" : "Fake Graphics 4000 (WebGPU)";

const CATALOG = {
  families: [{ id: "sd1", label: "Stable Diffusion 1.x" }, { id: "sdxl", label: "Stable Diffusion XL" }],
  samplers: [
    { id: "euler", label: "Euler", help: "quick and plain" },
    { id: "dpmpp-2m", label: "DPM++ 2M", aliases: ["k_dpmpp_2m"], help: "good in few steps" },
    { id: "ddim", label: "DDIM" },
  ],
  schedules: [{ id: "trailing", label: "Trailing" }, { id: "karras", label: "Karras", help: "more steps at low noise" }],
};

const CARD = {
  family: "sd1",
  title: "Encaustic's model in the box",
  license: "MIT OR Apache-2.0",
  defaults: { steps: 4, cfg: 3, sampler: "ddim", schedule: "trailing", width: 128, height: 128, clip_skip: 1, eta: 0 },
  multiple_of: 8,
  sizes: [[128, 128], [160, 96], [96, 160]],
  chunk_tokens: 75,
};

// What is kept outlives the worker and the page, as in the real one.
const shelf = caches.open("fake-models");
const KEPT = new URL("kept.json", self.location.href).href;
const kept = async () => (await (await shelf).match(KEPT))?.json() ?? [];
const keep = async (models) => {
  await (await shelf).put(KEPT, new Response(JSON.stringify(models)));
  await tellModels();
};
const tellModels = async () => {
  const models = await kept();
  const used = models.reduce((sum, model) => sum + model.bytes, 2 * MB);
  say({ models: { models, used, quota: BEHAVIOUR === "full" ? 30 * MB : 4000 * MB, persistent: false, place: "opfs" } });
};

// What a source is: its size, its name, and what is wrong with it.
async function find(from, file) {
  if (from === "file") {
    if (/broken/.test(file.name)) throw failure("model", `${file.name}: the header is not valid; the file is damaged or no safetensors`);
    return { id: "file", title: undefined, name: file.name, bytes: file.size, there: file.size };
  }
  const models = await kept();
  if (from.stored !== undefined) {
    const model = models.find(({ id }) => id === from.stored);
    if (!model) throw failure("model", `nothing is kept under ${from.stored}`);
    return { ...model, there: model.bytes, bytes: model.of };
  }
  const address = from.address;
  const name = address.split("/").pop();
  if (name === "none") throw failure("model", `${address}/manifest.json cannot be fetched: the server answers 404 Not Found`);
  const id = `${name}-1`;
  const there = models.find((model) => model.id === id)?.bytes ?? 0;
  const bytes = { big: 6900 * MB, slow: 500 * MB }[name] ?? 20_842_870;
  const title = name === "demo" ? CARD.title : `The ${name} one`;
  return { id, address, name, title, bytes, there };
}

async function look({ from }, file) {
  const model = await find(from, file);
  const free = BEHAVIOUR === "full" ? 10 * MB : 3900 * MB;
  const isBig = model.name === "big";
  const to_fetch = model.bytes - model.there;
  const obstacle = isBig
    ? "the largest tensor has 1.6 GB, and this GPU takes no more than 1 GB in one buffer; another GPU or a smaller model will do"
    : to_fetch > free ? "the browser has room for 10 MB, and 20.8 MB are to be fetched: delete a model, or free space on the disk" : undefined;
  const outlook = { title: model.title, family: isBig ? "sdxl" : "sd1", license: model.title && CARD.license, bytes: model.bytes, to_fetch };
  const device = { device: DEVICE, precision: "f16", largest_buffer: 1_073_741_824 };
  const needs = { needs_all: model.bytes * 2 + 200 * MB, needs_in_turn: model.bytes + 100 * MB };
  say({ outlook: { ...outlook, ...device, ...needs, free, residency: isBig ? "in_turn" : "all", obstacle } });
}

let stopped = false;
let loaded = false;

async function load({ from, residency }, file) {
  loaded = false;
  const model = await find(from, file);
  if (model.name === "fatal") return say({ dead: { message: "the engine broke down: memory access out of bounds; it may be out of memory" } });
  const [steps, pause] = model.name === "slow" ? [100, 100] : [6, 15];
  const of = model.bytes;
  for (let step = 0; step <= steps; step++) {
    const bytes = Math.max(model.there, Math.round((of * step) / steps));
    say({ loading: { stage: "files", bytes, of } });
    await rest(pause);
    if (stopped || step === steps) {
      if (model.address !== undefined) {
        const others = (await kept()).filter(({ id }) => id !== model.id);
        await keep([...others, { id: model.id, title: model.title, family: "sd1", address: model.address, bytes, of }]);
      }
      if (stopped) throw failure("model", "the load was stopped; what has come is kept");
    }
  }
  say({ loading: { stage: "device", bytes: of, of } });
  await rest(30);
  for (const part of [0.5, 1]) {
    say({ loading: { stage: "weights", bytes: Math.round(of * part), of } });
    if (model.name === "heavy") await rest(1500);
  }
  loaded = true;
  const card = from === "file" ? { ...CARD, title: undefined, license: undefined } : { ...CARD, title: model.title };
  const seconds = { files: 0.1, device: 0.03, model: 0.01 };
  say({ loaded: { card, bytes: of, device: DEVICE, precision: "f16", residency: residency ?? "all", seconds } });
}

async function pack({ title, dtype }, file) {
  if (/broken/.test(file.name)) throw failure("model", `${file.name} cannot be packed: it has no text encoder`);
  if (/fatal/.test(file.name)) return say({ dead: { message: "the engine broke down: unreachable executed; it may be out of memory" } });
  const of = file.size;
  for (let step = 0; step <= 10; step++) {
    say({ packing: { bytes: Math.round((of * step) / 10), of } });
    await rest(/slow/.test(file.name) ? 300 : 15);
    if (stopped) throw failure("model", "the packing was stopped");
  }
  const stored = { id: `own-${title}`, title, family: "sd1", bytes: Math.round(of / (dtype === "q8" ? 2 : 1)), of: Math.round(of / (dtype === "q8" ? 2 : 1)) };
  await keep([...(await kept()).filter(({ id }) => id !== stored.id), stored]);
  say({ packed: stored });
}

// Pixels: discs on a ground, of a colour that the seed decides; clearer with every step.
function draw(width, height, seed, clearness) {
  const pixels = new Uint8ClampedArray(width * height * 4);
  const hue = (seed * 47) % 360;
  const channel = (shift) => 128 + 110 * Math.cos(((hue + shift) * Math.PI) / 180);
  for (let at = 0; at < width * height; at++) {
    const [x, y] = [(at % width) / width - 0.5, Math.floor(at / width) / height - 0.5];
    const inside = Math.hypot(x, y + 0.1) < 0.25 || y > 0.3;
    const noise = (1 - clearness) * 120 * Math.sin(at * 12.9898 + seed);
    const light = inside ? 1 : 0.35 + 0.4 * (0.5 - y);
    pixels.set([channel(0) * light + noise, channel(120) * light + noise, channel(240) * light + noise, 255], at * 4);
  }
  return pixels;
}

// What the native program makes of a prompt, if the server has it.
async function shown(prompt) {
  const answer = BEHAVIOUR === "shown" && (await fetch(`pictures/${encodeURIComponent(prompt)}.png`));
  if (!answer?.ok) return;
  const bitmap = await createImageBitmap(await answer.blob());
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  canvas.drawImage(bitmap, 0, 0);
  return canvas.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

function picture(job, name, width, height, pixels, parameters) {
  const news = JSON.stringify({ picture: { job, name, width, height, parameters } });
  self.postMessage({ news, pixels: pixels.buffer }, [pixels.buffer]);
}

const cancelled = new Set();

async function run({ job, request }) {
  let seq = 0;
  const tell = (change) => say({ event: { job: { job, seq: seq++, change } } });
  if (cancelled.has(job)) return tell("cancelled");
  if (!loaded) return tell({ failed: failure("model", "no model is loaded; load one first") });
  const has = (word) => (request.prompt ?? "").split(/\s+/).includes(word);
  tell("started");
  const [width, height] = [request.width ?? 128, request.height ?? 128];
  const seed = request.seed ?? 1234;
  const steps = has("endless") ? 1000 : request.steps ?? 4;
  tell({ progress: { stage: "text", done: 1, of: 1 } });
  if (has("fail")) return tell({ failed: failure("device", "the GPU has too little memory for this picture; make it smaller") });
  for (let step = 1; step <= steps; step++) {
    await rest(has("slow") || has("endless") ? 120 : 15);
    if (cancelled.has(job)) return tell("cancelled");
    const first = NTH === 1;
    if (step === 2 && (has("die") || (has("die-once") && first))) {
      say({ dead: { message: "the engine broke down: unreachable executed; it may be out of memory" } });
      return await new Promise(() => {});
    }
    if (step === 2 && has("lost-once") && first) {
      say({ dead: { message: "the device is lost", device_lost: true } });
      return await new Promise(() => {});
    }
    if (step === 2 && has("trap-once") && first) {
      setTimeout(() => { throw new Error("memory access out of bounds"); });
      return await new Promise(() => {});
    }
    tell({ progress: { stage: "denoise", done: step, of: steps } });
    if (!has("still")) {
      const name = `${job}-preview-${step}`;
      picture(job, name, width / 8, height / 8, draw(width / 8, height / 8, Number(seed), step / steps));
      tell({ preview: { name, seed, width: width / 8, height: height / 8 } });
    }
  }
  const images = [];
  for (let index = 0; index < (request.batch ?? 1); index++) {
    const name = `${job}-${index}`;
    const own = Number(seed) + index;
    const settings = `Steps: ${steps}, Sampler: DDIM, CFG scale: ${request.cfg ?? 3}, Seed: ${own}, Size: ${width}x${height}`;
    const pixels = (await shown(request.prompt)) ?? draw(width, height, own, 1);
    picture(job, name, width, height, pixels, `${request.prompt}\n${settings}, Model: Encaustic's model in the box`);
    images.push({ name, seed: own, width, height });
  }
  tell({ progress: { stage: "decode", done: 1, of: 1 } });
  tell({ finished: images });
}

// Everything but a stop and a cancel waits for its turn.
let turn = Promise.resolve();
const inTurn = (work, sad) => {
  turn = turn.then(async () => {
    stopped = false;
    await work();
  }).catch((error) => (error.kind ? say({ [sad]: error }) : Promise.reject(error)));
};

self.onmessage = ({ data }) => {
  const order = JSON.parse(typeof data === "string" ? data : data.order);
  const file = data.file;
  if (BEHAVIOUR === "silent" || (BEHAVIOUR === "mute-once" && NTH === 1)) return;
  if (order === "models") tellModels();
  else if (order === "stop") stopped = true;
  else if (order.look) look(order.look, file).catch((error) => say({ not_seen: error }));
  else if (order.load) inTurn(() => load(order.load, file), "not_loaded");
  else if (order.pack) inTurn(() => pack(order.pack, file), "not_packed");
  else if (order.forget) inTurn(async () => keep((await kept()).filter(({ id }) => id !== order.forget.id)), "not_loaded");
  else if (order.count) say({ counted: { id: order.count.id, tokens: order.count.texts.map((text) => text.split(/[\s,]+/).filter(Boolean).length) } });
  else if (order.command === "describe") say({ event: { catalog: CATALOG } });
  else if (order.command?.submit) inTurn(() => run(order.command.submit), "dead");
  else if (order.command?.cancel !== undefined) cancelled.add(order.command.cancel);
  else say({ misunderstood: { message: `no such order: ${JSON.stringify(order)}` } });
};

if (BEHAVIOUR === "broken") throw new Error("this worker cannot start");
if (BEHAVIOUR === "old") say({ greetings: true });
if (BEHAVIOUR !== "silent" && !(BEHAVIOUR === "mute-once" && NTH === 1)) say({ ready: { version: "0.1.0" } });
