// One recorded episode: its frames, its timeline, and the buttons to go through it.

import { byId, notice, plain, setAction, setText, signed } from "./dom.js";
import { drawTimeline, paintFrame } from "./draw.js";
import { CHUNK, fetchChecked, Frames } from "./frames.js";

export class EpisodePlayer {
  #episode = null; // what the server says of it, with the return so far for every frame
  #frames = null;
  #t = 0;
  #playing = false;
  #started = 0; // when the playing began, as if from frame 0
  #names = [];

  constructor() {
    const slider = byId("episode-slider");
    slider.addEventListener("input", () => this.seek(slider.valueAsNumber));
    byId("episode-play").addEventListener("click", () => this.play(!this.#playing));
    byId("episode-previous").addEventListener("click", () => this.step(-1));
    byId("episode-next").addEventListener("click", () => this.step(1));
    const timeline = byId("timeline");
    timeline.addEventListener("pointerdown", (event) => {
      timeline.setPointerCapture(event.pointerId);
      this.#seekTo(event);
    });
    timeline.addEventListener("pointermove", (event) => {
      if (timeline.hasPointerCapture(event.pointerId)) this.#seekTo(event);
    });
    for (const link of [byId("download-mp4"), byId("download-gif")]) {
      link.addEventListener("click", (event) => download(event, link));
    }
    window.addEventListener("themechange", () => this.#drawTimeline());
    window.addEventListener("resize", () => this.#layOut());
  }

  /** Names of the actions, for the text; numbers are shown until they are known. */
  set names(names) {
    this.#names = names;
    if (this.#episode) this.#describe();
  }

  /** Open an episode. Throws an Error if the server has none. */
  async open(dataset, index) {
    this.close();
    const url = `api/datasets/${encodeURIComponent(dataset)}/${index}`;
    const episode = await (await fetchChecked(url)).json();
    this.close(); // another one may have been opened meanwhile
    let total = 0;
    const returns = [0, ...episode.rewards.map((reward) => (total += reward))];
    this.#episode = { ...episode, returns };
    this.#frames = new Frames(url, episode.frames, episode.height * episode.width * 3);
    byId("episode").hidden = false;
    byId("no-episode").hidden = true;
    byId("back-to-list").href = `#episodes/${dataset}`;
    setText(byId("episode-name"), `${dataset}, episode ${index}`);
    byId("episode-slider").max = Math.max(0, episode.frames - 1);
    for (const ending of ["mp4", "gif"]) {
      byId(`download-${ending}`).href = `${url}/film.${ending}`;
      byId(`download-${ending}`).download = `${dataset}-${index}.${ending}`;
    }
    this.seek(0);
    this.#layOut();
  }

  close() {
    this.play(false);
    this.#frames?.close();
    this.#episode = this.#frames = null;
    byId("episode").hidden = true;
    byId("no-episode").hidden = false;
  }

  step(by) {
    this.play(false);
    this.seek(this.#t + by);
  }

  /** Show a frame, as soon as it is here. */
  seek(t) {
    if (!this.#episode) return;
    this.#t = Math.max(0, Math.min(t, this.#episode.frames - 1));
    this.#started = performance.now() - (1000 * this.#t) / this.#episode.fps;
    this.#show();
  }

  play(playing) {
    if (playing && this.#episode && this.#t >= this.#episode.frames - 1) this.seek(0);
    this.#playing = playing && this.#episode !== null;
    setAction(byId("episode-play"), this.#playing, this.#playing ? "Pause" : "Play", this.#playing ? "pause" : "play");
    if (!this.#playing) return;
    this.#started = performance.now() - (1000 * this.#t) / this.#episode.fps;
    requestAnimationFrame(() => this.#tick());
  }

  toggle() {
    this.play(!this.#playing);
  }

  get last() {
    return this.#episode ? this.#episode.frames - 1 : 0;
  }

  #tick() {
    if (!this.#playing) return;
    const { fps, frames } = this.#episode;
    const t = Math.min(Math.floor(((performance.now() - this.#started) * fps) / 1000), frames - 1);
    if (t !== this.#t && this.#frames.now(t)) {
      this.#t = t;
      this.#show();
    } else if (t !== this.#t) {
      this.#started = performance.now() - (1000 * this.#t) / fps; // time stands still until the frame is here
      this.#load(t);
    }
    if (this.#t >= frames - 1) this.play(false);
    else requestAnimationFrame(() => this.#tick());
  }

  #show() {
    const frames = this.#frames;
    const bytes = frames.now(this.#t);
    const { height, width } = this.#episode;
    if (bytes) paintFrame(byId("episode-frame"), bytes, height, width);
    byId("episode-loading").hidden = bytes !== null;
    this.#describe();
    this.#drawTimeline();
    this.#load(this.#t);
    frames.load(this.#t + CHUNK / 2).catch(() => {}); // soon needed; if it fails, it is tried again then
  }

  async #load(t) {
    const frames = this.#frames;
    if (frames.now(t)) return;
    try {
      await frames.load(t);
      if (frames === this.#frames && t === this.#t && frames.now(t)) this.#show();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.play(false);
      notice(error.message);
    }
  }

  #describe() {
    const { frames, actions, rewards, returns, terminated, truncated } = this.#episode;
    const t = this.#t;
    const action = actions[t - 1];
    byId("episode-slider").value = t;
    byId("episode-slider").setAttribute("aria-valuetext", `frame ${t + 1} of ${frames}`);
    setText(byId("episode-t"), `${t + 1} / ${frames}`);
    setText(byId("episode-action"), t === 0 ? "–" : (this.#names[action] ?? String(action)));
    setText(byId("episode-reward"), t === 0 ? "–" : signed(rewards[t - 1], Number.isInteger(rewards[t - 1]) ? 0 : 2));
    byId("episode-reward").dataset.sign = t === 0 ? 0 : Math.sign(rewards[t - 1]);
    setText(byId("episode-return"), plain(returns[t]));
    const end = terminated ? "ended" : truncated ? "cut off" : "not ended";
    setText(byId("episode-end"), t === frames - 1 ? end : "");
  }

  #drawTimeline() {
    if (this.#episode) drawTimeline(byId("timeline"), this.#episode, this.#t);
  }

  #seekTo(event) {
    const box = byId("timeline").getBoundingClientRect();
    this.play(false);
    this.seek(Math.round(((event.clientX - box.left) / box.width) * this.last));
  }

  #layOut() {
    if (!this.#episode) return;
    const { height, width } = this.#episode;
    const room = byId("episode").clientWidth;
    if (!room) return; // not on the page now
    const ratio = window.devicePixelRatio || 1;
    const exact = Math.min(room / width, Math.max(window.innerHeight * 0.45, window.innerHeight - 330) / height) * ratio;
    const scale = (exact >= 1 ? Math.floor(exact) : exact) / ratio;
    byId("episode-frame").style.width = `${width * scale}px`;
    byId("episode-frame").style.height = `${height * scale}px`;
    this.#drawTimeline();
  }
}

/** Fetch a film, which the server makes only now, so that a refusal can be told. */
async function download(event, link) {
  event.preventDefault();
  if (link.getAttribute("aria-busy") === "true") return;
  link.setAttribute("aria-busy", "true");
  notice("making the film; this may take some seconds");
  try {
    const film = await (await fetchChecked(link.href)).blob();
    const url = URL.createObjectURL(film);
    Object.assign(document.createElement("a"), { href: url, download: link.download }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    notice(`${link.download} is ready`);
  } catch (error) {
    notice(error.message, 10);
  } finally {
    link.removeAttribute("aria-busy");
  }
}
