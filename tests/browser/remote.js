// The page behind a server. The server is a real one, mostly with a quick engine (`server/examples/easel.rs`): its queue, its
// database and its interfaces are what ships. Before it stands a middleman who hands out the page of `dist` and can cut the line.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { DIST, TYPES } from "./page.js";
import { executable, program } from "./program.js";

const MARK = '<meta name="encaustic-server" content="1">';

// A server with the quick engine, over a folder of its own, with settings as `id=value`.
export const serveRemote = (...settings) =>
  behind(async (folder, more) => {
    const easel = await executable("easel", "ENCAUSTIC_EASEL", "-p", "encaustic-server", "--example", "easel");
    return [easel, ["127.0.0.1:0", folder, ...settings, ...more]];
  });

// The program that people get, drawing on the processor.
export const serveProgram = () =>
  behind(async (folder) => {
    const words = ["--json", "serve", "--listen", "127.0.0.1:0", "--open", "false", "--data", folder, "--devices", "cpu"];
    return [await program(), words];
  });

async function behind(command) {
  const folder = await mkdtemp(join(tmpdir(), "encaustic-"));
  const sockets = new Set();
  let child, target, isCut = false;
  const start = async (more = []) => {
    const [file, words] = await command(folder, more);
    child = spawn(file, words, { stdio: ["ignore", "pipe", process.env.ENCAUSTIC_TALK ? "inherit" : "ignore"] });
    for await (const line of createInterface({ input: child.stdout })) {
      target = new URL(JSON.parse(line).address);
      return;
    }
    throw new Error("the server did not start");
  };
  const stop = async (signal = "SIGINT") => {
    const ended = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await ended;
  };
  await start();
  const own = (headers) => {
    const { origin, ...rest } = headers;
    return { ...rest, host: target.host, ...(origin && { origin: target.origin }) };
  };
  const middleman = createServer(async (asked, answer) => {
    const path = normalize(decodeURIComponent(new URL(asked.url, "http://x").pathname));
    if (isCut) return asked.socket.destroy();
    if (path.startsWith("/api/")) {
      const options = { host: target.hostname, port: target.port, path: asked.url, method: asked.method, headers: own(asked.headers) };
      const forward = request(options, (told) => {
        answer.writeHead(told.statusCode, told.headers);
        told.pipe(answer);
      });
      forward.on("error", () => answer.destroy());
      return asked.pipe(forward);
    }
    try {
      const name = path === "/" ? "index.html" : path.slice(1);
      const bytes = await readFile(join(DIST, name));
      const body = name === "index.html" ? bytes.toString().replace("<head>", `<head>${MARK}`) : bytes;
      answer.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream", "cache-control": "no-store" }).end(body);
    } catch {
      answer.writeHead(404).end();
    }
  });
  middleman.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  middleman.on("upgrade", (asked, socket, head) => {
    if (isCut) return socket.destroy();
    const line = connect(target.port, target.hostname, () => {
      const headers = Object.entries(own(asked.headers)).map(([name, value]) => `${name}: ${value}`);
      line.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`);
      line.write(head);
      line.pipe(socket).pipe(line);
    });
    for (const [one, other] of [[line, socket], [socket, line]]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  await new Promise((done) => middleman.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${middleman.address().port}`;
  const api = async (method, path, body, headers = {}) => {
    const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } };
    const answer = await fetch(`${target.origin}/api/v1/${path}`, { method, ...json });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  };
  // Those at work end a moment after they are cancelled, and may leave pictures until then.
  const calm = async () => {
    await api("POST", "queue", { is_paused: false });
    for (;;) {
      const { items } = await api("GET", "jobs?state=waiting,running");
      if (items.length === 0) return;
      await Promise.all(items.map(({ id }) => api("DELETE", `jobs/${id}`).catch(() => {})));
      await new Promise((done) => setTimeout(done, 20));
    }
  };
  return {
    address: () => `${origin}/`,
    // Without the middleman: with the page that is built into the program.
    own: () => target.href,
    // Asks the server past the page, as another program would.
    api,
    // A job of another program's.
    submit: async (prompt, more = {}) => await api("POST", "jobs", { request: { prompt, ...more } }),
    // Waits for the end of a job; returns it.
    ended: async (id) => {
      for (;;) {
        const job = await api("GET", `jobs/${id}`);
        if (["finished", "failed", "cancelled"].includes(job.state)) return job;
        await new Promise((done) => setTimeout(done, 50));
      }
    },
    // Nobody comes through, from now on or no longer.
    cut: (is = true) => {
      isCut = is;
      if (is) for (const socket of sockets) socket.destroy();
    },
    // Ends the server and starts it again over the same folder, with further settings.
    restart: async (signal, ...more) => {
      await stop(signal);
      await start(more);
    },
    // Empties the queue and lets it go on.
    calm,
    // Leaves nothing of what was done: no jobs, pictures, collections and changed settings.
    empty: async () => {
      await calm();
      for (;;) {
        const { items } = await api("GET", "images?limit=500");
        if (items.length === 0) break;
        await api("POST", "images/delete", { ids: items.map(({ id }) => id) });
      }
      for (const { id } of (await api("GET", "collections")).items) await api("DELETE", `collections/${id}`);
      const changed = (await api("GET", "settings")).items.filter(({ can_change, value, configured }) => can_change && value !== configured);
      if (changed.length > 0) await api("PATCH", "settings", Object.fromEntries(changed.map(({ id }) => [id, null])));
    },
    close: async () => {
      middleman.close();
      middleman.closeAllConnections();
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
