// Panels beside the screens: the policy's output, the world model's predictions, and curves.

import { byId, make, plain, setText } from "./dom.js";
import { drawCurves } from "./draw.js";
import { labelOf } from "./keys.js";
import { History } from "./meters.js";

const percent = (p) => `${(100 * p).toFixed(p > 0 && p < 0.0995 ? 1 : 0)}%`;

export class Panels {
  #names = [];
  #rows = [];
  #age = 0;
  #history = new History(["value", "dream", "real", "difference"]);

  /** Begin anew, for a game with these actions. */
  start(names) {
    this.#names = names;
    this.#rows = names.map((name, index) => {
      const bar = make("div", { className: "bar" });
      const number = make("span", { className: "number" });
      const digit = make("kbd", {}, index < 10 && name !== String(index) ? String(index) : ""); // the key for it
      const label = make("span", { className: "name", title: name }, labelOf(name));
      return { bar, number, row: make("li", {}, digit, label, make("div", { className: "track" }, bar), number) };
    });
    byId("probabilities").replaceChildren(...this.#rows.map(({ row }) => row));
    this.#history.clear();
  }

  draw(header) {
    this.#drawPolicy(header);
    const judged = Boolean(header.dream) && header.dream.reward !== null;
    byId("panel-prediction").hidden = !judged;
    if (judged) this.#drawPrediction(header.dream);
    this.#remember(header);
    this.#drawHistory(header);
  }

  #drawPolicy({ action, policy }) {
    setText(byId("action"), action === null ? "none yet" : (this.#names[action] ?? String(action)));
    if (!policy) return; // trained on recordings
    const best = Math.max(...policy.probabilities);
    this.#rows.forEach(({ bar, number, row }, i) => {
      const p = policy.probabilities[i]; // moves of a vector action have no probability
      bar.style.width = `${100 * (p ?? 0)}%`;
      setText(number, p === undefined ? "" : percent(p));
      row.classList.toggle("unknown", p === undefined);
      row.classList.toggle("taken", i === action);
      row.classList.toggle("best", p === best);
    });
    setText(byId("value"), plain(policy.value));
    setText(byId("entropy"), `${policy.entropy.toFixed(2)} nats`);
  }

  #drawPrediction(dream) {
    const expected = dream.reward_probabilities;
    ["minus", "zero", "plus"].forEach((name, i) => {
      byId(`reward-${name}-bar`).style.width = expected ? `${100 * expected[i]}%` : "0";
      setText(byId(`reward-${name}`), expected ? percent(expected[i]) : "–");
    });
    const end = dream.end_probability;
    byId("end-bar").style.width = end === null ? "0" : `${100 * end}%`;
    setText(byId("end-probability"), end === null ? "–" : percent(end));
  }

  #remember(header) {
    const { dream, real } = header;
    const worlds = [dream, real].map((world) => world && [world.age, world.return, world.over]);
    const identity = JSON.stringify([header.view, worlds]);
    const age = (real ?? dream).age;
    if (age < this.#age) this.#history.add(`before ${identity}`, {}); // a new episode breaks the lines
    this.#age = age;
    this.#history.add(identity, {
      value: header.policy?.value,
      dream: dream?.return,
      real: real?.return,
      difference: header.difference,
    });
  }

  #drawHistory(header) {
    const { series, size } = this.#history;
    const line = (name, colour) => ({ values: series[name], colour });
    drawCurves(byId("spark-value"), [line("value", "text")], size);
    drawCurves(byId("spark-return"), [line("real", "real"), line("dream", "dream")], size);
    byId("difference-row").hidden = header.view !== "both";
    setText(byId("difference"), header.difference === undefined ? "–" : header.difference.toFixed(1));
    drawCurves(byId("spark-difference"), [line("difference", "muted")], size);
    if (header.policy) setText(byId("spark-value-now"), plain(header.policy.value));
    setText(byId("spark-return-now"), plain((header.real ?? header.dream).return ?? 0));
  }
}

/** How fast it all goes. `seen` are updates per second of this page: {received, drawn}. */
export function drawSpeed(speed, seen, latency) {
  const slow = seen.drawn < seen.received - 1;
  setText(byId("fps"), `${seen.drawn.toFixed(1)}${slow ? ` of ${seen.received.toFixed(1)}` : ""} fps`);
  setText(byId("latency"), latency === null ? "–" : `${Math.round(latency)} ms`);
  setText(byId("step-time"), `${speed.ms.toFixed(1)} ms`);
  setText(byId("players"), speed.players === 1 ? "1 player" : `${speed.players} players`);
}

