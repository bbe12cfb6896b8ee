// Settings, which the server stores, and choices of what to show, which this browser stores.

import { byId, recall, remember, setPressed, setText } from "./dom.js";

const NUMBERS = ["fps", "denoising_steps", "horizon", "temperature"];
const SWITCHES = ["strip", "training"];
const SHOWN = ["action", "policy", "value", "reward", "prediction", "history", "difference", "touch"];
const QUIET = 700; // ms after a change in which the server's echo of older ones is not shown
const PACE = 100; // ms between messages while a slider is dragged

const input = (name) => byId(`setting-${name}`);

export class Settings {
  #changed = new Map(); // name to when it was last changed here
  #waiting = {};
  #timer = 0;

  /** `send(values)` is called with settings to change. */
  constructor(send) {
    this.send = send;
    for (const name of NUMBERS) {
      // A number is being typed until Enter: half of it would be a setting of its own.
      const when = input(name).type === "number" ? "change" : "input";
      input(name).addEventListener(when, () => this.#change(name, input(name).valueAsNumber));
    }
    input("horizon").addEventListener("keydown", (event) => event.key === "Enter" && input("horizon").blur());
    for (const name of SWITCHES) {
      input(name).addEventListener("change", () => this.#change(name, input(name).checked));
    }
  }

  /** A button for each sampler that the server has. */
  offer(samplers) {
    const buttons = samplers.map((name) => {
      const button = document.createElement("button");
      Object.assign(button, { id: `setting-method-${name}`, type: "button" });
      setText(button, name[0].toUpperCase() + name.slice(1));
      button.addEventListener("click", () => this.#change("method", name));
      return button;
    });
    byId("setting-method").replaceChildren(...buttons);
  }

  /** What the sliders may range over. */
  limit(limits) {
    for (const name of NUMBERS) [input(name).min, input(name).max] = limits[name];
  }

  /** Show what the server has, except where somebody is changing it right now. */
  show(settings) {
    const now = performance.now();
    for (const [name, value] of Object.entries(settings)) {
      if (now - (this.#changed.get(name) ?? -Infinity) < QUIET) continue;
      if (name === "horizon" && document.activeElement === input(name)) continue; // being typed
      if (NUMBERS.includes(name) && input(name).valueAsNumber !== value) input(name).value = value;
      if (SWITCHES.includes(name)) input(name).checked = value;
      if (name === "method") this.#showMethod(value);
    }
    this.#describe();
  }

  #change(name, value) {
    const field = input(name);
    if (Number.isNaN(value) || (field?.type === "number" && !field.checkValidity())) return;
    this.#changed.set(name, performance.now());
    if (name === "method") this.#showMethod(value);
    this.#describe();
    this.#waiting[name] = value;
    if (this.#timer) return;
    this.#flush();
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#flush();
    }, PACE);
  }

  #flush() {
    if (Object.keys(this.#waiting).length > 0) this.send(this.#waiting);
    this.#waiting = {};
  }

  #showMethod(method) {
    for (const button of byId("setting-method").children) setPressed(button, button.id === `setting-method-${method}`);
  }

  #describe() {
    for (const name of ["fps", "denoising_steps", "temperature"]) setText(byId(`shown-${name}`), input(name).value);
    const greedy = input("temperature").valueAsNumber === 0;
    if (greedy) setText(byId("shown-temperature"), "greedy");
    setText(byId("shown-horizon"), input("horizon").valueAsNumber === 0 ? "no limit" : "steps");
  }
}

/** The choices of what to show: each is a class on the body that the style sheet obeys. */
export function listenToShown() {
  const fingers = window.matchMedia("(any-pointer: coarse)").matches;
  const chosen = { touch: fingers, ...recall("shown", {}) };
  for (const name of SHOWN) {
    const box = byId(`show-${name}`);
    box.checked = chosen[name] ?? true;
    const apply = () => document.body.classList.toggle(`no-${name}`, !box.checked);
    box.addEventListener("change", () => {
      chosen[name] = box.checked;
      remember("shown", chosen);
      apply();
    });
    apply();
  }
  for (const details of document.querySelectorAll("details[id]")) {
    const key = `open-${details.id}`;
    details.open = recall(key, details.id === "settings" && window.matchMedia("(min-width: 900px)").matches);
    details.addEventListener("toggle", () => remember(key, details.open));
  }
}
