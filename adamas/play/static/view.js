// The screens of the dream and the real game, their captions, and the strip of denoising steps.

import { byId, make, plain, setText, signed } from "./dom.js";
import { paintFrame } from "./draw.js";
import { overText } from "./messages.js";

const WORLDS = ["dream", "real"];

/** Draws updates of frames of one size. */
export class View {
  #height;
  #width;
  #shown = ""; // the view that the screens are laid out for

  constructor(height, width) {
    this.#height = height;
    this.#width = width;
    new ResizeObserver(() => this.#fit()).observe(byId("screens"));
    window.addEventListener("resize", () => this.#fit());
  }

  resize(height, width) {
    [this.#height, this.#width] = [height, width];
    this.#fit();
  }

  draw(header, images) {
    if (header.view !== this.#shown) {
      this.#shown = header.view;
      byId("screens").dataset.view = header.view;
      for (const name of WORLDS) byId(`${name}-screen`).hidden = !this.#names().includes(name);
      this.#fit();
    }
    for (const name of this.#names()) {
      if (images.has(name)) paintFrame(byId(name), images.get(name), this.#height, this.#width);
      if (header[name]) describe(name, header[name], header.paused);
    }
    this.#drawStrip(header, images);
  }

  #names() {
    return this.#shown === "both" ? WORLDS : [this.#shown];
  }

  /** Whole screen pixels per game pixel where they fit, so that all game pixels look alike. */
  #fit() {
    const screens = byId("screens");
    const count = this.#names().length;
    const style = getComputedStyle(screens);
    const gap = parseFloat(style.columnGap) || 0;
    const wide = (screens.clientWidth - gap * (count - 1)) / count;
    // The column of a wide page gives a height; on a phone the page scrolls, and half of it is enough.
    const given = style.getPropertyValue("--fills").trim() === "yes";
    const captions = byId(`${this.#names()[0] || "dream"}-screen`).querySelector("figcaption").offsetHeight;
    const high = given ? screens.clientHeight - captions : window.innerHeight * 0.55;
    const ratio = window.devicePixelRatio || 1;
    const exact = Math.min(wide / this.#width, high / this.#height) * ratio;
    const scale = (exact >= 1 ? Math.floor(exact) : exact) / ratio;
    if (!(scale > 0)) return; // not on the page now
    for (const name of WORLDS) {
      byId(name).style.width = `${this.#width * scale}px`;
      byId(name).style.height = `${this.#height * scale}px`;
    }
  }

  #drawStrip(header, images) {
    const strip = byId("strip");
    strip.hidden = !header.settings.strip || header.view === "real";
    const steps = header.images.filter((name) => name.startsWith("noise "));
    strip.classList.toggle("empty", steps.length === 0); // after a beginning; it keeps its place
    if (steps.length === 0) return;
    if (strip.children.length !== steps.length) {
      strip.replaceChildren(...steps.map((_, i) => stripItem(i, steps.length - 1)));
    }
    steps.forEach((name, i) => {
      paintFrame(strip.children[i].querySelector("canvas"), images.get(name), this.#height, this.#width);
    });
  }
}

function stripItem(i, last) {
  const label = i === 0 ? "noise" : i === last ? "frame" : `step ${i}`;
  const canvas = make("canvas", { id: `strip-${i}`, width: 1, height: 1, role: "img", ariaLabel: label });
  return make("li", {}, canvas, make("span", {}, label));
}

function describe(name, world, paused) {
  const over = overText(world.over);
  setText(byId(`${name}-over`), over || (paused ? "paused" : ""));
  byId(`${name}-over`).classList.toggle("final", over !== "");
  setText(byId(`${name}-age`), String(world.age));
  if (world.reward === null) return; // the world model has no rewards
  setText(byId(`${name}-reward`), signed(world.reward, Number.isInteger(world.reward) ? 0 : 2));
  byId(`${name}-reward`).dataset.sign = Math.sign(world.reward);
  setText(byId(`${name}-return`), plain(world.return));
}
