// The native program, for tests that want to know what it makes of the same words.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

export const ROOT = join(import.meta.dirname, "../..");

// Runs it with these words: the one that ENCAUSTIC names, else what cargo builds.
export async function encaustic(...words) {
  const run = promisify(execFile);
  if (process.env.ENCAUSTIC) return await run(process.env.ENCAUSTIC, words, { cwd: ROOT });
  return await run("cargo", ["run", "--release", "--locked", "--quiet", "-p", "encaustic", "--", ...words], { cwd: ROOT });
}
