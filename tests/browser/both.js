// One list of tests for both kinds of engine: each runs with a page whose engine is a worker (a fake one), and with a page before a
// server (a real one, whose engine is quick). What only one of them can do says so, and why.

import { after, before, test } from "node:test";
import { browse, inTab, servePage } from "./page.js";
import { serveRemote } from "./remote.js";

// For the page whose engine is a worker alone; `why` it cannot be otherwise.
export const WORKER = (why) => ({ on: "worker", why });
// For the page before a server alone.
export const SERVER = (why) => ({ on: "server", why });

// Starts both for a file of tests, empties the server after each test, and ends both. Returns what runs a test with each of them:
// `body` is given the tab, its context, and the engine: its `kind`, its `address`, and what else its server can. The behaviour is
// that of the fake worker; `options` are those of the tab.
export function both(usual = {}) {
  const engines = {};
  let browser;
  before(async () => {
    const [worker, server, chromium] = await Promise.allSettled([servePage(), serveRemote(), browse()]);
    browser = chromium.value;
    engines.worker = { kind: "worker", ...worker.value };
    engines.server = { kind: "server", ...server.value };
    for (const { reason } of [worker, server, chromium]) if (reason) throw reason;
  });
  after(async () => {
    await browser?.close();
    engines.worker?.close?.();
    await engines.server?.close?.();
  });
  return (name, body, { on, why, behaviour = "plain", ...options } = {}) => {
    for (const kind of ["worker", "server"].filter((kind) => [undefined, kind].includes(on))) {
      const title = on === undefined ? `${name} (${kind})` : `${name} (${kind} alone: ${why})`;
      test(title, async () => {
        const engine = engines[kind];
        engine.forget?.();
        try {
          await inTab(browser, engine.address(behaviour), (tab, context) => body(tab, context, engine), { ...usual, ...options });
        } finally {
          await engine.empty?.();
        }
      });
    }
  };
}
