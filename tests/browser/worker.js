// A worker in a page of a browser, driven from here: orders go in, news come out.

import { createRequire } from "node:module";
import { drop } from "./png.js";

// Node's own way of `import` does not look where NODE_PATH says, and nothing is installed into the checkout.
const { chromium } = createRequire(import.meta.url)("playwright-core");

const FLAGS = ["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", "--disable-dev-shm-usage"];

// Starts a browser with a profile of its own.
export async function browse() {
  const executablePath = process.env.ENCAUSTIC_CHROMIUM ?? "/usr/bin/chromium";
  return await chromium.launch({ executablePath, headless: true, args: FLAGS });
}

export class Worker {
  news = [];
  pictures = {};
  // What the browser's console has of errors and warnings that nobody asked for.
  complaints = [];
  #waiting = [];

  // Opens a page at `address` and starts the worker `script` in it. `browser` may be one of its contexts: pages of one share
  // what they keep.
  static async start(browser, address, script = "worker.js") {
    const worker = new Worker();
    worker.page = await browser.newPage();
    worker.page.on("pageerror", (error) => worker.complaints.push(String(error)));
    worker.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) worker.complaints.push(message.text());
    });
    await worker.page.exposeFunction("hear", (text, pixels) => worker.#hear(text, pixels));
    await worker.page.goto(address);
    await worker.page.evaluate((script) => {
      self.engine = new globalThis.Worker(script);
      self.engine.onmessage = ({ data }) =>
        typeof data === "string" ? self.hear(data) : self.hear(data.news, Array.from(new Uint8Array(data.pixels)));
      self.engine.onerror = (event) => self.hear(JSON.stringify({ error: event.message }));
    }, script);
    return worker;
  }

  // Tells the worker something.
  async send(order) {
    await this.page.evaluate((text) => self.engine.postMessage(text), typeof order === "string" ? order : JSON.stringify(order));
  }

  // Tells the worker something about a file of these bytes.
  async sendFile(order, name, bytes) {
    await this.page.evaluate(
      async ([order, name, text]) => {
        const bytes = await (await fetch(`data:application/octet-stream;base64,${text}`)).arrayBuffer();
        self.engine.postMessage({ order, file: new File([bytes], name) });
      },
      [JSON.stringify(order), name, bytes.toString("base64")],
    );
  }

  // Forgets what has been said: what is waited for next has yet to come.
  forget() {
    this.news = [];
  }

  // What the worker answers.
  async ask(order, is, seconds = 60) {
    this.forget();
    await this.send(JSON.stringify(order));
    return await this.wait(is, seconds);
  }

  async command(command) {
    await this.send({ command });
  }

  // The first news, from now or earlier, for which `is` gives something; that is what it gives.
  async wait(is, seconds = Number(process.env.ENCAUSTIC_PATIENCE ?? 240)) {
    for (const news of this.news) if (is(news)) return is(news);
    return await new Promise((resolve, reject) => {
      const last = () => reject(new Error(`nothing came in ${seconds} s; the last news: ${JSON.stringify(this.news.slice(-5))}`));
      const timer = setTimeout(last, seconds * 1000);
      this.#waiting.push((news) => {
        const broken = (news.dead ?? news.error) && !is(news);
        if (broken) reject(new Error(`the worker is dead: ${JSON.stringify(news)}`));
        else if (is(news)) resolve(is(news));
        else return false;
        clearTimeout(timer);
        return true;
      });
    });
  }

  // The changes of a job, up to its last.
  async last(job) {
    const isLast = (change) => change.finished || change.failed || change === "cancelled";
    return await this.wait((news) => news.event?.job?.job === job && isLast(news.event.job.change) && news.event.job.change);
  }

  changes(job) {
    return this.news.filter((news) => news.event?.job?.job === job).map((news) => news.event.job);
  }

  async close() {
    await this.page.close();
  }

  #hear(text, pixels) {
    const news = JSON.parse(text);
    news.at = performance.now() / 1000;
    if (process.env.ENCAUSTIC_TALK) console.log(news.at.toFixed(1), text.slice(0, 300));
    if (news.picture) {
      const { name, width, height } = news.picture;
      this.pictures[name] = { width, height, rgb: drop(pixels, 4) };
    }
    this.news.push(news);
    this.#waiting = this.#waiting.filter((tell) => !tell(news));
  }
}
