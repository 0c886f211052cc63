// Keeps the page and the worker for when there is no network. VERSION and FILES (each name with its SHA-256) stand above, written
// when the page is built.
//
// Each version is kept as a whole or not at all, so that no script meets the WebAssembly of another one: a server that is just
// being updated may have some files of each. A new version takes over when no tab shows the old one any more. Models are none
// of its business: the engine's worker keeps them.

const CACHE = `encaustic-page-${VERSION}`;
// Whoever hosts the page may edit it at any time.
const EDITABLE = "models.json";

// A file as the server has it, if it is of this version. What is kept is made anew from its bytes: an answer that came by a
// redirect could not be given to a tab.
async function fetched([file, sha256]) {
  // "no-cache" asks the server whether what the browser has is still good, which it mostly is: it has just been loaded.
  const answer = await fetch(file, { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${file}: the server answers ${answer.status}`);
  const bytes = await answer.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const is = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (is !== sha256 && file !== EDITABLE) throw new Error(`${file} is of another version`);
  return new Response(bytes, { headers: { "content-type": answer.headers.get("content-type") ?? "" } });
}

async function install() {
  const answers = await Promise.all(FILES.map(fetched));
  const cache = await caches.open(CACHE);
  await Promise.all(FILES.map(([file], at) => cache.put(file, answers[at])));
}

async function clear() {
  const old = (name) => name.startsWith("encaustic-page-") && name !== CACHE;
  await Promise.all((await caches.keys()).filter(old).map((name) => caches.delete(name)));
}

async function answer(request, file) {
  const cache = await caches.open(CACHE);
  if (file === EDITABLE) {
    const fresh = await fetch(request).catch(() => undefined);
    if (fresh?.ok) await cache.put(file, fresh.clone());
    return fresh?.ok ? fresh : ((await cache.match(file)) ?? fresh ?? Response.error());
  }
  return (await cache.match(file)) ?? fetch(request);
}

self.addEventListener("install", (event) => event.waitUntil(install()));

self.addEventListener("activate", (event) => event.waitUntil(clear()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const scope = new URL(self.registration.scope);
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== scope.origin || !address.pathname.startsWith(scope.pathname)) return;
  const file = address.pathname.slice(scope.pathname.length) || "index.html";
  if (FILES.some(([name]) => name === file)) event.respondWith(answer(request, file));
});
