// The page that visitors see and play on. The dream runs in worker.js, which answers one request at a time.

import { byId, make, setAction, setPressed, setText, signed } from "./dom.js";
import { listenToCommands, listenToGamepads, listenToHeldKeys } from "./input.js";
import { chooseAction, Held, partsOf } from "./keys.js";
import { Rate } from "./meters.js";
import { buildTouch, showHeld } from "./touch.js";

const STEPS = [1, 2, 3, 4, 5, 7, 10];
const SPEEDS = [2, 5, 10, 15, 30, 60];
const AS_FAST_AS_POSSIBLE = 0;
const SHOWN_AFTER_THE_END = 1500; // milliseconds that the last frame stays

const held = new Held();
const state = { agent: true, paused: false, reset: true, total: 0, age: 0 };
let rate = new Rate();
let world;
let wake = () => {};

const worker = new Worker(new URL(`worker.js${location.search}`, import.meta.url), { type: "module" });
let answered = () => {};

worker.onmessage = ({ data }) => {
  if (data.type === "loading") setText(byId("status"), data.text);
  else if (data.type === "error") fail(data.text);
  else if (data.type === "ready") begin(data);
  else answered(data);
};
worker.onerror = (event) => fail(event.message || "its program cannot be loaded");

function fail(text) {
  byId("status").classList.add("error");
  setText(byId("status"), `The dream cannot run here: ${text}`);
}

function ask(request) {
  worker.postMessage(request);
  return new Promise((resolve) => { answered = resolve; });
}

// --- the dream -------------------------------------------------------------------------------------------

function begin({ world: described, backend, threads }) {
  world = described;
  document.title = `${world.title}: a dream`;
  setText(byId("title"), world.title);
  Object.assign(byId("screen"), { width: world.width, height: world.height });
  const onWhat = backend === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}`;
  setText(byId("status"), `Dreaming on ${onWhat}.`);
  buildControls();
  run().catch((error) => fail(error.message));
}

async function run() {
  for (;;) {
    const start = performance.now();
    if (state.reset) {
      Object.assign(state, { reset: false, total: 0, age: 0 });
      rate = new Rate();
      show(await ask({ type: "reset" }));
    } else if (state.paused) {
      rate = new Rate();
      await new Promise((resolve) => { wake = resolve; });
      continue;
    } else {
      const moment = await ask({ type: "step", action: state.agent ? null : pressed(), numSteps: Number(byId("denoising-steps").value) });
      show(moment);
      if (moment.ended) {
        await sleep(SHOWN_AFTER_THE_END);
        state.reset = true;
        continue;
      }
    }
    const fps = Number(byId("speed").value);
    if (fps !== AS_FAST_AS_POSSIBLE) await sleep(start + 1000 / fps - performance.now());
  }
}

/** Wait, and let the page handle its events. A pressed button ends the wait. */
function sleep(milliseconds) {
  return new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, Math.max(0, milliseconds));
  });
}

/** The number of the held action, or of the one that does nothing. */
function pressed() {
  return chooseAction(held.tokens, world.actions) ?? Math.max(0, world.actions.findIndex((name) => partsOf(name)?.length === 0));
}

// --- what is shown ---------------------------------------------------------------------------------------

function show(moment) {
  draw(moment.pixels);
  if (!moment.fresh) {
    state.age += 1;
    state.total += moment.reward;
    rate.tick(performance.now());
  }
  const fps = rate.perSecond(performance.now());
  setText(byId("return"), signed(state.total));
  setText(byId("reward"), moment.fresh ? "–" : signed(moment.reward));
  setText(byId("age"), String(state.age));
  setText(byId("end"), moment.fresh ? "–" : `${(100 * moment.endProbability).toFixed(1)} %`);
  setText(byId("action"), moment.fresh ? "–" : world.actions[moment.action]);
  setText(byId("value"), signed(moment.value, 2));
  setText(byId("fps"), fps > 0 ? fps.toFixed(1) : "–");
  setText(byId("milliseconds"), moment.fresh ? "–" : `${moment.milliseconds.toFixed(0)} ms`);
  byId("over").hidden = !moment.ended;
  setText(byId("over"), moment.ended ? `Game over: ${signed(state.total)} in ${state.age} steps` : "");
}

/** Pixels (C, H, W), grey or colour. */
function draw(pixels) {
  const area = world.width * world.height;
  const image = new ImageData(world.width, world.height);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[(world.channels === 1 ? 0 : c) * area + i];
    image.data[4 * i + 3] = 255;
  }
  byId("screen").getContext("2d").putImageData(image, 0, 0);
}

// --- what can be pressed -----------------------------------------------------------------------------------

function buildControls() {
  fill(byId("denoising-steps"), STEPS, world.sampler.num_steps, String);
  fill(byId("speed"), SPEEDS, world.fps, (fps) => `${fps} frames/s`);
  byId("speed").append(make("option", { value: String(AS_FAST_AS_POSSIBLE) }, "as fast as possible"));

  byId("control").addEventListener("click", () => letAgentPlay(!state.agent));
  byId("pause").addEventListener("click", togglePause);
  byId("reset").addEventListener("click", reset);
  for (const element of document.querySelectorAll(".panel button, .panel select")) element.disabled = false;

  const changed = () => {
    if (held.tokens.length > 0) letAgentPlay(false); // pressing a key takes over
    showHeld(held.tokens);
  };
  const active = () => true;
  listenToHeldKeys(held, { active, changed });
  listenToCommands({ c: () => letAgentPlay(!state.agent), p: togglePause, r: reset }, active);
  listenToGamepads(held, { active, changed });
  buildTouch(world.actions, held, changed);
  const numbers = world.actions.slice(0, 10).map((name, i) => `${i} ${name}`);
  setText(byId("numbers"), `Numbers: ${numbers.join(", ")}`);
}

/** Fill a menu with numbers and select the usual one. */
function fill(select, values, usual, label) {
  const sorted = [...new Set([...values, usual])].sort((a, b) => a - b);
  select.append(...sorted.map((value) => make("option", { value: String(value) }, label(value))));
  select.value = String(usual);
}

function letAgentPlay(agent) {
  state.agent = agent;
  setPressed(byId("control"), !agent);
}

function togglePause() {
  state.paused = !state.paused;
  setAction(byId("pause"), state.paused, state.paused ? "Resume" : "Pause");
  wake();
}

function reset() {
  state.reset = true;
  wake();
}
