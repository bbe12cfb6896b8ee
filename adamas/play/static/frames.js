// The frames of one recorded episode, fetched in chunks when they are needed.

export const CHUNK = 128;
const KEPT = 6; // chunks in memory

/** What an address answers. Throws an Error with the server's own words if it refuses. */
export async function fetchChecked(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer", { cause: error });
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Error(answer.error ?? `the server answered ${response.status}`);
}

export class Frames {
  #chunks = new Map(); // number to its bytes, or to the promise of them; the least recently used first
  #stop = new AbortController();

  /** Frames of `size` bytes each; `url` is the episode's. */
  constructor(url, count, size) {
    this.url = url;
    this.count = count;
    this.size = size;
  }

  /** The bytes of frame `t` if they are here, else null. */
  now(t) {
    const bytes = this.#touch(Math.floor(t / CHUNK));
    if (!(bytes instanceof Uint8Array)) return null;
    const start = (t % CHUNK) * this.size;
    return start + this.size <= bytes.length ? bytes.subarray(start, start + this.size) : null;
  }

  /** Fetch the chunk of frame `t`, unless it is here or on its way. */
  async load(t) {
    const number = Math.floor(t / CHUNK);
    if (number * CHUNK >= this.count) return;
    let chunk = this.#touch(number);
    if (!chunk) {
      chunk = this.#fetch(number);
      this.#chunks.set(number, chunk);
      for (const old of [...this.#chunks.keys()].slice(0, -KEPT)) this.#chunks.delete(old);
    }
    await chunk;
  }

  /** Nobody looks any more. */
  close() {
    this.#stop.abort();
  }

  #touch(number) {
    const chunk = this.#chunks.get(number);
    if (chunk) {
      this.#chunks.delete(number);
      this.#chunks.set(number, chunk);
    }
    return chunk;
  }

  async #fetch(number) {
    const url = `${this.url}/frames?start=${number * CHUNK}&count=${CHUNK}`;
    try {
      const response = await fetchChecked(url, { signal: this.#stop.signal });
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (this.#chunks.has(number)) this.#chunks.set(number, bytes);
      return bytes;
    } catch (error) {
      this.#chunks.delete(number); // to be tried again
      throw error;
    }
  }
}
