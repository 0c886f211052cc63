// Starts the page. trunk knows under which names its parts lie and writes them into the tag that loads this.

const { js, wasm } = document.querySelector("script[data-wasm]").dataset;

try {
  const { default: init } = await import(`./${js}`);
  await init({ module_or_path: new URL(wasm, import.meta.url) });
  document.getElementById("start")?.remove();
} catch (why) {
  const start = document.getElementById("start");
  start.setAttribute("role", "alert");
  start.textContent = `Encaustic could not be started (${why?.message ?? why}). Reload the page; if that does not help, use a recent Chrome, Edge, Firefox or Safari.`;
  throw why;
}

// Keeps the page for when there is no network; without it everything works but that. The page of a server is nothing without it.
const isOfServer = document.querySelector("meta[name='encaustic-server']") !== null;
if (navigator.serviceWorker && !isOfServer) navigator.serviceWorker.register("sw.js").catch((why) => console.info(`not kept for offline use: ${why.message}`));
