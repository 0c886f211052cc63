// What people with a screen reader, a keyboard or weak eyes could not use, as axe finds it.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
// The worst two of axe's four grades.
export const GRAVE = ["critical", "serious"];

// The faults of a page, in words; of all grades, or of some.
export async function faults(page, grades = ["critical", "serious", "moderate", "minor"]) {
  await page.evaluate(await readFile(AXE, "utf8"));
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.filter(({ impact }) => grades.includes(impact));
  return told.map(({ impact, id, help, nodes }) => `${impact} ${id}: ${help} (${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")})`);
}
