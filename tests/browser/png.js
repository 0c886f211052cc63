// PNG files as pixels and back: 8 bits, RGB or RGBA, not interlaced, which is all that the tests meet.

import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);

// { width, height, rgb } of a file.
export function decode(file) {
  if (!file.subarray(0, 8).equals(SIGNATURE)) throw new Error("not a PNG");
  let header;
  const data = [];
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    const name = file.toString("latin1", at + 4, at + 8);
    const body = file.subarray(at + 8, at + 8 + length);
    if (name === "IHDR") header = body;
    if (name === "IDAT") data.push(body);
    at += length + 12;
  }
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const channels = { 2: 3, 6: 4 }[header[9]];
  if (header[8] !== 8 || !channels || header[12] !== 0) throw new Error("a kind of PNG that the tests do not know");
  const rows = unfilter(inflateSync(Buffer.concat(data)), width * channels, height, channels);
  return { width, height, rgb: drop(rows, channels) };
}

function unfilter(raw, row, height, step) {
  const out = Buffer.alloc(row * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (row + 1)];
    for (let x = 0; x < row; x++) {
      const at = y * row + x;
      const left = x >= step ? out[at - step] : 0;
      const up = y > 0 ? out[at - row] : 0;
      const corner = x >= step && y > 0 ? out[at - row - step] : 0;
      out[at] = raw[y * (row + 1) + 1 + x] + [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
    }
  }
  return out;
}

function paeth(left, up, corner) {
  const [a, b, c] = [left, up, corner].map((near) => Math.abs(left + up - corner - near));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

// The first three of each pixel's channels.
export function drop(pixels, channels) {
  return channels === 3 ? Buffer.from(pixels) : Buffer.from(pixels.filter((_, at) => at % channels < 3));
}

// A file of { width, height, rgb }.
export function encode({ width, height, rgb }) {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const rows = [];
  for (let y = 0; y < height; y++) rows.push(Buffer.from([0]), rgb.subarray(y * width * 3, (y + 1) * width * 3));
  const chunk = (name, body) => {
    const named = Buffer.concat([Buffer.from(name, "latin1"), body]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    sum.writeUInt32BE(crc32(named));
    return Buffer.concat([length, named, sum]);
  };
  const chunks = [chunk("IHDR", header), chunk("IDAT", deflateSync(Buffer.concat(rows))), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([SIGNATURE, ...chunks]);
}

// How alike two pictures are, in decibels: 40 is more than an eye can tell apart.
export function psnr(one, other) {
  if (one.width !== other.width || one.height !== other.height) throw new Error("pictures of different sizes");
  const sum = one.rgb.reduce((sum, value, at) => sum + (value - other.rgb[at]) ** 2, 0);
  return sum === 0 ? Infinity : 10 * Math.log10(255 ** 2 / (sum / one.rgb.length));
}
