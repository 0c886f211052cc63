// Keeps the page and the worker for when there is no network. VERSION and FILES stand above, written when the page is built.
//
// Each version is fetched as a whole and answered from as a whole, so that no script meets the WebAssembly of another one. A new
// version takes over when no tab shows the old one any more. Models are none of its business: the engine's worker keeps them.

const CACHE = `encaustic-${VERSION}`;

self.addEventListener("install", (event) => {
  // "no-cache" asks the server whether what the browser has is still good, which it mostly is: it has just been loaded.
  const requests = FILES.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith("encaustic-") && name !== CACHE && !name.startsWith("encaustic-models");
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const scope = new URL(self.registration.scope);
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== scope.origin || !address.pathname.startsWith(scope.pathname)) return;
  const file = address.pathname.slice(scope.pathname.length) || "index.html";
  if (!FILES.includes(file)) return;
  const kept = caches.open(CACHE).then((cache) => cache.match(new URL(file, scope)));
  event.respondWith(kept.then((answer) => answer ?? fetch(request)));
});
