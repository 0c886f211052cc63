// The end of worker.js, after what wasm-bindgen has written: starts the engine, and tells the page when it has broken down.

// Messages that come before the engine listens are not lost.
const early = [];
self.onmessage = (message) => early.push(message);

// A trap leaves no Rust that could tell: out of memory, or what follows a panic (which has told already).
const dead = (message) => {
  if (self.isDead) return;
  self.isDead = true;
  self.postMessage(JSON.stringify({ dead: { message } }));
};
const broken = (what) => dead(`the engine broke down: ${(what && what.message) || what}; it may be out of memory`);
self.addEventListener("error", (event) => broken(event.error || event.message));
self.addEventListener("unhandledrejection", (event) => broken(event.reason));

// Burn does not start on an adapter that cannot measure time, though it only measures when it is asked to, which it never is
// here. So each adapter is said to have the feature, and the device is asked for without it where that is not so.
const TIME = "timestamp-query";
if (self.GPUAdapter) {
  const adapter = GPUAdapter.prototype;
  const features = Object.getOwnPropertyDescriptor(adapter, "features").get;
  const requestDevice = adapter.requestDevice;
  Object.defineProperty(adapter, "features", { configurable: true, get() { return new Set([...features.call(this), TIME]); } });
  adapter.requestDevice = function (descriptor = {}) {
    const has = features.call(this);
    const requiredFeatures = [...(descriptor.requiredFeatures ?? [])].filter((name) => name !== TIME || has.has(TIME));
    return requestDevice.call(this, { ...descriptor, requiredFeatures });
  };
}

wasm_bindgen({ module_or_path: new URL("worker_bg.wasm", self.location.href) }).then(
  () => early.forEach((message) => self.onmessage(message)),
  (why) => dead(`worker_bg.wasm cannot be started: ${(why && why.message) || why}; reload the page`),
);
