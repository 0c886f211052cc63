// Files of weights for the tests: a whole checkpoint of Stable Diffusion 1 in one file, tiny and random, and packed models
// whose shards are cut anew.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const GOLDENS = join(import.meta.dirname, "../goldens");

// The table of contents of a safetensors file, and where its data begins.
function read(file) {
  const length = Number(file.readBigUInt64LE(0));
  return { table: JSON.parse(file.toString("utf8", 8, 8 + length)), data: 8 + length };
}

// A safetensors file of [name, dtype, shape, bytes], and where each tensor begins in it.
function write(tensors, metadata) {
  const table = metadata ? { __metadata__: metadata } : {};
  let end = 0;
  for (const [name, dtype, shape, bytes] of tensors) table[name] = { dtype, shape, data_offsets: [end, (end += bytes.length)] };
  const text = Buffer.from(JSON.stringify(table));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, " ")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const offsets = Object.fromEntries(tensors.map(([name]) => [name, 8 + padded.length + table[name].data_offsets[0]]));
  return { file: Buffer.concat([length, padded, ...tensors.map(([, , , bytes]) => bytes)]), offsets };
}

// Numbers in f16 whose magnitude is 1/32 to 1/16.
function halves(count, seed) {
  const bytes = Buffer.alloc(count * 2);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < count; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt16LE(((state >>> 31) << 15) | (10 << 10) | ((state >>> 16) & 1023), at * 2);
  }
  return bytes;
}

// How the golden model grows to one whose heads and groups are its family's, which is all that a file alone can tell.
function grown(source, shape) {
  const [part, name] = source.split(":");
  const times = (factor, keep = []) => shape.map((dim, at) => (at > 1 || keep.includes(at) ? dim : dim * factor));
  if (part === "text_encoder") {
    if (name.includes("token_embedding")) return [49408, shape[1] * 2];
    return times(2, name.includes("position_embedding") ? [0] : []);
  }
  if (part === "unet") {
    if (/attn2\.to_[kv]/.test(name)) return [shape[0] * 4, shape[1] * 2];
    return times(4, { "conv_in.weight": [1], "conv_out.weight": [0], "conv_out.bias": [0] }[name] ?? []);
  }
  if (/quant_conv/.test(name)) return shape;
  return times(4, /conv_in\.weight/.test(name) ? [1] : /\.conv_out\./.test(name) ? [0] : []);
}

// A checkpoint in one file, in f16. `without` are beginnings of names that it lacks; `metadata` is what a trainer notes.
export async function checkpoint({ without = [], metadata } = {}) {
  const golden = JSON.parse(await readFile(join(GOLDENS, "golden/single_file.json")));
  const tables = {};
  for (const part of ["unet", "vae", "text_encoder"]) {
    const name = part === "text_encoder" ? "model" : "diffusion_pytorch_model";
    tables[part] = read(await readFile(join(GOLDENS, `models/sd15/${part}/${name}.safetensors`))).table;
  }
  const tensors = [];
  for (const [name, recipe] of Object.entries(golden.cases.sd15.tensors)) {
    if (without.some((prefix) => name.startsWith(prefix))) continue;
    const [operation, source] = Array.isArray(recipe) ? recipe : ["copy", recipe];
    const [part, parameter] = source.split(":");
    const shape = grown(source, tables[part][parameter].shape);
    const stored = operation === "conv1x1" ? [...shape, 1, 1] : shape;
    tensors.push([name, "F16", stored, halves(stored.reduce((a, b) => a * b, 1), tensors.length + 1)]);
  }
  return write(tensors, metadata).file;
}

// The packed model in a folder with its shards cut to `count`: { file name: bytes }.
export async function recut(folder, count) {
  const manifest = JSON.parse(await readFile(join(folder, "manifest.json")));
  const shards = await Promise.all(manifest.shards.map(({ file }) => readFile(join(folder, file))));
  const tables = shards.map((shard) => read(shard).table);
  const bytes = ({ shard, offset, bytes }) => shards[shard].subarray(offset, offset + bytes);
  const groups = Array.from({ length: count }, () => []);
  const pieces = Object.values(manifest.tensors).flatMap((tensor) => [...tensor.pieces, ...(tensor.scales ?? [])]);
  const named = new Map();
  tables.forEach((table, shard) => {
    const data = read(shards[shard]).data;
    for (const [name, { dtype, shape, data_offsets }] of Object.entries(table)) {
      if (name !== "__metadata__") named.set(`${shard} ${data + data_offsets[0]}`, { name, dtype, shape });
    }
  });
  pieces.forEach((piece, at) => {
    const { name, dtype, shape } = named.get(`${piece.shard} ${piece.offset}`);
    groups[at % count].push([piece, name, dtype, shape]);
  });
  const files = {};
  manifest.shards = groups.map((group, shard) => {
    const { file, offsets } = write(group.map(([piece, name, dtype, shape]) => [name, dtype, shape, bytes(piece)]));
    for (const [piece, name] of group) Object.assign(piece, { shard, offset: offsets[name] });
    const name = `model-${String(shard + 1).padStart(5, "0")}.safetensors`;
    files[name] = file;
    return { file: name, bytes: file.length, sha256: createHash("sha256").update(file).digest("hex") };
  });
  files["manifest.json"] = Buffer.from(JSON.stringify(manifest));
  return files;
}
