// The processor's seconds that this program's browser has used: a machine with other work makes clocks say little.

import { readdirSync, readFileSync } from "node:fs";

// Seconds of the process that draws and computes (`gpu`) and of those that run pages and workers (`page`). Where the system
// does not tell (it is Linux that does), both are NaN.
export function busy() {
  const sums = { gpu: 0, page: 0 };
  try {
    const mine = new Set([String(process.pid)]);
    const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    const rows = all.map(read).filter(Boolean).sort((a, b) => a.started - b.started);
    for (const { id, parent, seconds, words } of rows) {
      if (!mine.has(parent)) continue;
      mine.add(id);
      if (words.includes("--type=gpu-process")) sums.gpu += seconds;
      else if (words.includes("--type=renderer")) sums.page += seconds;
    }
    return sums;
  } catch {
    return { gpu: NaN, page: NaN };
  }
}

// A process, unless it has ended meanwhile.
function read(id) {
  try {
    const words = readFileSync(`/proc/${id}/cmdline`, "utf8");
    const fields = readFileSync(`/proc/${id}/stat`, "utf8").split(") ").at(-1).split(" ");
    return { id, parent: fields[1], seconds: (Number(fields[11]) + Number(fields[12])) / 100, started: Number(fields[19]), words };
  } catch {
    return null;
  }
}
