// The end of worker.js, after what wasm-bindgen has written: starts the engine, and tells the page when it has broken down.

// Messages that come before the engine listens are not lost.
const early = [];
self.onmessage = (message) => early.push(message);

// Lets messages in that wait, in the middle of long work. Timers would be slow in a hidden tab; a message to oneself is not.
const { port1: here, port2: there } = new MessageChannel();
const breaths = [];
here.onmessage = () => breaths.shift()?.();
self.breathe = () => new Promise((done) => {
  breaths.push(done);
  there.postMessage(null);
});

// A trap leaves no Rust that could tell: out of memory, or what follows a panic (which has told already).
const dead = (message, device_lost = false) => {
  if (self.isDead) return;
  self.isDead = true;
  self.postMessage(JSON.stringify({ dead: { message, device_lost } }));
};
const broken = (what) => dead(`the engine broke down: ${(what && what.message) || what}; it may be out of memory`, !!self.isLost);
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
    return requestDevice.call(this, { ...descriptor, requiredFeatures }).then(watched);
  };
}

// A device can be lost at any moment (a driver is updated or reset, the machine sleeps), and Burn hears of it only when it uses
// the device next.
function watched(device) {
  device.lost.then(({ message }) => {
    self.isLost = true;
    const why = message ? ` (${message.trim().replace(/\.$/, "")})` : "";
    dead(`the graphics card was lost${why}: its driver was reset or updated, or the machine slept; the engine starts again`, true);
  });
  return device;
}

wasm_bindgen({ module_or_path: new URL("worker_bg.wasm", self.location.href) }).then(
  () => early.forEach((message) => self.onmessage(message)),
  (why) => dead(`worker_bg.wasm cannot be started: ${(why && why.message) || why}; reload the page`),
);
