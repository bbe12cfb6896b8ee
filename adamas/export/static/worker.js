// The dream in a thread of its own, so that the page never waits for it.
//
// Page to worker: {type: "reset"} or {type: "step", action, numSteps}, where an action of null leaves it to the agent.
// Worker to page: {type: "loading", text}, then {type: "ready", world, backend, threads}; to every request
// one {type: "moment", ..}; or {type: "error", text}.

import { computesRight, Dream, readContexts } from "./dream.js";

const NETWORKS = ["denoiser", "reward_end", "actor_critic"];
const here = (path) => new URL(path, import.meta.url).href;

let world;
let contexts;
let dream;

async function get(path) {
  postMessage({ type: "loading", text: `Loading ${path} …` });
  const response = await fetch(here(path));
  if (!response.ok) throw new Error(`${path}: the server answers ${response.status}`);
  return response;
}

/** Whether there is a GPU to compute on. One that the processor plays is slower than the processor. */
async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter();
  return Boolean(adapter) && !adapter.info?.isFallbackAdapter;
}

async function loadNetworks(backend, models) {
  postMessage({ type: "loading", text: `Starting onnxruntime (${backend}) …` });
  const ort = await import(here(`runtime/ort.${backend}.min.mjs`));
  ort.env.wasm.wasmPaths = here("runtime/");
  const networks = {};
  for (const name of NETWORKS) {
    networks[name] = await ort.InferenceSession.create(models[name], {
      executionProviders: [backend],
      logSeverityLevel: 3, // errors; not that some operators stay with the processor
    });
  }
  if (backend === "webgpu") {
    const expected = await (await get("check.json")).json();
    const right = await computesRight(ort, world, networks, contexts[0], expected);
    if (!right) throw new Error("the GPU computes something else than it should");
  }
  return { ort, networks };
}

async function load(asked) {
  world = await (await get("world.json")).json();
  contexts = readContexts(await (await get("contexts.bin")).arrayBuffer(), world);
  const models = {};
  for (const name of NETWORKS) {
    models[name] = new Uint8Array(await (await get(`${name}.onnx`)).arrayBuffer());
  }
  let backend = asked ?? ((await hasGpu()) ? "webgpu" : "wasm");
  let loaded = loadNetworks(backend, models);
  if (!asked && backend === "webgpu") {
    loaded = loaded.catch(() => {
      backend = "wasm"; // there is a GPU, but not for these networks
      return loadNetworks(backend, models);
    });
  }
  const { ort, networks } = await loaded;
  dream = new Dream(ort, world, networks);
  const threads = ort.env.wasm.numThreads; // half of the processor's, where the server isolates the page; else 1
  postMessage({ type: "ready", world, backend, threads });
}

async function answer(request) {
  if (request.type === "reset") {
    await dream.reset(contexts[Math.floor(Math.random() * contexts.length)]);
    return { type: "moment", fresh: true };
  }
  const start = performance.now();
  const step = await dream.step(request.action ?? dream.suggest(), request.numSteps);
  return { type: "moment", ...step, milliseconds: performance.now() - start };
}

// One thing at a time, in the order in which it is asked for.
const asked = new URL(self.location).searchParams.get("backend");
let last = load(["wasm", "webgpu"].includes(asked) ? asked : undefined);
const fail = (error) => postMessage({ type: "error", text: error?.message ?? String(error) });
last.catch(fail);

onmessage = ({ data }) => {
  last = last.then(async () => {
    const moment = await answer(data);
    postMessage({ ...moment, pixels: dream.pixels, value: dream.value });
  });
  last.catch(fail);
};
