// The browser of recorded episodes: datasets, the episodes of one, and one episode (player.js).
//
// The address says what is open: #episodes, #episodes/test, #episodes/test/3.

import { byId, make, notice, plain } from "./dom.js";
import { fetchChecked } from "./frames.js";
import { EpisodePlayer } from "./player.js";

const PAGE = 50; // episodes on one page of the table

export class Episodes {
  player = new EpisodePlayer();
  #start = 0;
  #dataset = "";
  #index = null;
  #asked = 0; // counts openings: an answer that comes after a newer question is dropped

  constructor() {
    byId("page-previous").addEventListener("click", () => this.#turn(-PAGE));
    byId("page-next").addEventListener("click", () => this.#turn(PAGE));
  }

  /** Show what the address says: parts are [] or [dataset] or [dataset, index]. Names need no escaping: see `dataset_api.py`. */
  async open([dataset = "", index = null]) {
    const asked = ++this.#asked;
    try {
      const datasets = await this.#listDatasets(dataset);
      if (asked !== this.#asked) return;
      // Beside a list there is room for its first dataset; on a phone the list comes first.
      const wide = window.matchMedia("(min-width: 900px)").matches;
      const name = dataset || (wide && datasets[0]?.name) || "";
      byId("episodes").dataset.level = index !== null ? "episode" : dataset ? "dataset" : "datasets";
      if (name !== this.#dataset) this.#start = 0;
      if (index !== null && index !== this.#index) this.#start = Math.floor(Number(index) / PAGE) * PAGE;
      [this.#dataset, this.#index] = [name, index];
      byId("episode-list").hidden = name === "";
      if (name) await this.#listEpisodes();
      if (asked !== this.#asked) return;
      if (index === null) this.player.close();
      else await this.player.open(name, index);
    } catch (error) {
      if (asked === this.#asked) notice(error.message, 10);
    }
  }

  /** List again what may have grown; the episode that is open goes on undisturbed. */
  async refresh() {
    try {
      await this.#listDatasets(this.#dataset);
      if (this.#dataset) await this.#listEpisodes();
    } catch (error) {
      notice(error.message);
    }
  }

  /** The page shows something else now. */
  leave() {
    this.#asked += 1;
    this.player.close();
  }

  /** Keys of this view: what they are called in KeyboardEvent.key, and what they do. */
  keys = {
    arrowleft: () => this.player.step(-1),
    arrowright: () => this.player.step(1),
    ",": () => this.player.step(-1),
    ".": () => this.player.step(1),
    " ": () => this.player.toggle(),
    home: () => this.player.seek(0),
    end: () => this.player.seek(this.player.last),
  };

  async #listDatasets(open) {
    const { datasets } = await (await fetchChecked("api/datasets")).json();
    byId("datasets").replaceChildren(
      ...datasets.map(({ name, episodes, steps, about }) => {
        const link = make(
          "a",
          { href: `#episodes/${encodeURIComponent(name)}`, id: `dataset-${name}` },
          make("strong", {}, name),
          make("span", { className: "count" }, `${episodes.toLocaleString()} episode${episodes === 1 ? "" : "s"}, ${steps.toLocaleString()} steps`),
          make("span", { className: "about" }, about),
        );
        if (name === (open || datasets[0].name)) link.setAttribute("aria-current", "true");
        return make("li", {}, link);
      }),
    );
    byId("no-datasets").hidden = datasets.length > 0;
    return datasets;
  }

  async #listEpisodes() {
    const name = encodeURIComponent(this.#dataset);
    const answer = await fetchChecked(`api/datasets/${name}?start=${this.#start}&count=${PAGE}`);
    const { total, episodes } = await answer.json();
    byId("dataset-name").textContent = this.#dataset;
    byId("episode-rows").replaceChildren(...episodes.map((episode) => this.#row(name, episode)));
    const last = Math.min(this.#start + PAGE, total);
    byId("page-range").textContent = total === 0 ? "no episodes yet" : `${this.#start + 1}–${last} of ${total}`;
    byId("page-previous").disabled = this.#start === 0;
    byId("page-next").disabled = last >= total;
  }

  #row(name, { index, frames, return: total, ended }) {
    const link = make("a", { href: `#episodes/${name}/${index}`, id: `episode-${index}` }, `${index}`);
    link.setAttribute("aria-label", `open episode ${index}`);
    const row = make(
      "tr",
      {},
      make("td", {}, link),
      make("td", {}, String(frames)),
      make("td", { className: "with-rewards" }, plain(total)),
      make("td", { className: "with-rewards" }, ended ? "ended" : "not ended"),
    );
    if (String(index) === this.#index) row.setAttribute("aria-current", "true");
    row.addEventListener("click", (event) => event.target !== link && link.click());
    return row;
  }

  async #turn(by) {
    this.#start = Math.max(0, this.#start + by);
    try {
      await this.#listEpisodes();
    } catch (error) {
      notice(error.message);
    }
  }
}
