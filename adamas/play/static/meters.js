// Small measurements of what the player sees. Times in milliseconds.

/** How often something happens. */
export class Rate {
  #times = [];

  constructor(window = 2000) {
    this.window = window;
  }

  tick(now) {
    this.#times.push(now);
    this.#forget(now);
  }

  /** Times per second over the window; 0 until there are two of them. */
  perSecond(now) {
    this.#forget(now);
    const [first, last] = [this.#times[0], this.#times.at(-1)];
    return last > first ? (1000 * (this.#times.length - 1)) / (last - first) : 0;
  }

  #forget(now) {
    while (this.#times[0] < now - this.window) this.#times.shift();
  }
}

/** From a key to the frame that obeys it. */
export class Latency {
  #waiting = new Map(); // sequence number to the time it was sent
  #measured = [];

  sent(seq, now) {
    this.#waiting.set(seq, now);
  }

  /** A frame is drawn that obeys the action `ack` and all before. */
  drawn(ack, now) {
    for (const [seq, time] of this.#waiting) {
      if (seq > ack) continue;
      // An action that a newer one overtook was never shown: only the newest was.
      if (seq === ack) this.#measured = [...this.#measured, now - time].slice(-20);
      this.#waiting.delete(seq);
    }
  }

  /** Nothing that was sent will be shown in time: the game stands still or the connection is gone. */
  forget() {
    this.#waiting.clear();
  }

  /** Of the last 20; null before the first. */
  get median() {
    const sorted = [...this.#measured].sort((a, b) => a - b);
    if (sorted.length === 0) return null;
    const half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }
}

/** The last values of some series; null where a line is broken. */
export class History {
  #last = "";

  constructor(names, size = 200) {
    this.names = names;
    this.size = size;
    this.clear();
  }

  clear() {
    this.series = Object.fromEntries(this.names.map((name) => [name, []]));
    this.#last = "";
  }

  /** Add an update. `identity` says which: one shown again, as after a change of settings, counts once. */
  add(identity, values) {
    if (identity === this.#last) return;
    this.#last = identity;
    for (const name of this.names) {
      const series = this.series[name];
      series.push(values[name] ?? null);
      if (series.length > this.size) series.shift();
    }
  }
}
