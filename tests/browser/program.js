// The programs of this repository, for tests that want to know what they make of the same words, or talk to one of their servers.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

export const ROOT = join(import.meta.dirname, "../..");

const run = promisify(execFile);
const built = new Map();

// Where a program lies: where the variable says, else where cargo puts it, which builds it once.
export async function executable(name, variable, ...words) {
  if (process.env[variable]) return process.env[variable];
  const build = ["build", "--release", "--locked", "--quiet", "--message-format", "json", ...words];
  if (!built.has(name)) built.set(name, run("cargo", build, { cwd: ROOT, maxBuffer: 1 << 28 }));
  const { stdout } = await built.get(name);
  const made = stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  return made.find(({ executable, target }) => executable && target?.name === name).executable;
}

// The program that people get.
export const program = () => executable("encaustic", "ENCAUSTIC", "-p", "encaustic", "--bin", "encaustic");

// Runs it with these words.
export async function encaustic(...words) {
  return await run(await program(), words, { cwd: ROOT });
}
