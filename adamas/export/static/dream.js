// One dream: its state from step to step, and the three networks that compute the next one.

import { categorical, gaussian, sampleFrame, softmax, toModelRange, toPixels } from "./maths.js";

/** The contexts in contexts.bin: {actions: L - 1 numbers, frames: L * C * H * W pixels} each. */
export function readContexts(buffer, world) {
  const length = world.context_length;
  const [numActions, numPixels] = [length - 1, length * world.channels * world.height * world.width];
  const count = buffer.byteLength / (4 * numActions + numPixels);
  const actions = new Int32Array(buffer, 0, count * numActions);
  const frames = new Uint8Array(buffer, 4 * count * numActions);
  return Array.from({ length: count }, (_, i) => ({
    actions: Array.from(actions.subarray(i * numActions, (i + 1) * numActions)),
    frames: frames.subarray(i * numPixels, (i + 1) * numPixels),
  }));
}

export class Dream {
  #ort;
  #world;
  #networks;
  #random;

  /**
   * `networks` are sessions of onnxruntime (`ort`) by name; `random` has gaussian(length) and uniform().
   */
  constructor(ort, world, networks, random = { gaussian, uniform: Math.random }) {
    this.#ort = ort;
    this.#world = world;
    this.#networks = networks;
    this.#random = random;
    this.size = world.channels * world.height * world.width;
  }

  /** Start from a context. Both recurrent networks see it before the dream begins. */
  async reset({ frames, actions }) {
    this.actions = [...actions]; // the L - 1 actions between the frames
    this.frames = toModelRange(frames); // the last L frames, oldest first
    this.judging = this.#zeros("reward_end");
    this.acting = this.#zeros("actor_critic");
    for (let t = 0; t < this.#world.context_length; t++) {
      if (t > 0) await this.#judge(this.#frame(t - 1), actions[t - 1], this.#frame(t));
      await this.#look(frames.slice(t * this.size, (t + 1) * this.size));
    }
  }

  /** The action that the agent draws for the frame that it sees. */
  suggest() {
    return categorical(this.probabilities, this.#random.uniform());
  }

  /** Dream the frame, reward and end that follow an action, in `numSteps` denoising steps. */
  async step(action, numSteps) {
    const length = this.#world.context_length;
    const actions = [...this.actions, action];
    const sampler = { ...this.#world.sampler, num_steps: numSteps };
    const denoise = (x, sigma) => this.#denoise(x, sigma, actions);
    const [newest, { gaussian: normal }] = [this.#frame(length - 1), this.#random];
    const centre = this.#world.starts_at_newest_frame ? newest : null;
    const next = await sampleFrame(denoise, normal(this.size), sampler, normal, centre);
    const { logits_reward, logits_end } = await this.#judge(newest, action, next);
    const chances = softmax(logits_end);
    const reward = this.#world.rewards[categorical(softmax(logits_reward), this.#random.uniform())];
    const ended = this.#world.ends[categorical(chances, this.#random.uniform())];
    this.frames.copyWithin(0, this.size);
    this.frames.set(next, (length - 1) * this.size);
    this.actions = actions.slice(1);
    await this.#look(toPixels(next));
    return { action, reward, ended, endProbability: chances[this.#world.ends.indexOf(true)] };
  }

  #frame(t) {
    return this.frames.slice(t * this.size, (t + 1) * this.size);
  }

  #zeros(name) {
    const dim = this.#world.lstm_dim[name];
    return { hidden: new Float32Array(dim), cell: new Float32Array(dim) };
  }

  async #denoise(noisy, sigma, actions) {
    const { channels, height, width, context_length } = this.#world;
    const found = await this.#run("denoiser", {
      noisy: ["float32", noisy, [channels, height, width]],
      sigma: ["float32", Float32Array.of(sigma), []],
      prev_obs: ["float32", this.frames, [context_length, channels, height, width]],
      prev_action: ["int64", BigInt64Array.from(actions, BigInt), [context_length]],
    });
    return found.denoised;
  }

  async #judge(obs, action, nextObs) {
    const { channels, height, width } = this.#world;
    const found = await this.#run("reward_end", {
      obs: ["float32", obs, [channels, height, width]],
      action: ["int64", BigInt64Array.of(BigInt(action)), []],
      next_obs: ["float32", nextObs, [channels, height, width]],
      ...this.#recurrent(this.judging),
    });
    this.judging = { hidden: found.next_hidden, cell: found.next_cell };
    return found;
  }

  /** Run the policy on a frame. Sets `pixels`, `probabilities` and `value`. */
  async #look(pixels) {
    const { channels, height, width } = this.#world;
    const found = await this.#run("actor_critic", {
      obs: ["uint8", pixels, [channels, height, width]],
      ...this.#recurrent(this.acting),
    });
    this.acting = { hidden: found.next_hidden, cell: found.next_cell };
    this.pixels = pixels;
    this.probabilities = softmax(found.logits);
    this.value = found.value[0];
  }

  #recurrent({ hidden, cell }) {
    return { hidden: ["float32", hidden, [hidden.length]], cell: ["float32", cell, [cell.length]] };
  }

  /** Inputs {name: [type, data, shape]} of a batch of one to outputs {name: data}. */
  async #run(name, inputs) {
    const feeds = {};
    for (const [key, [type, data, shape]] of Object.entries(inputs)) {
      feeds[key] = new this.#ort.Tensor(type, data, [1, ...shape]);
    }
    const found = await this.#networks[name].run(feeds);
    return Object.fromEntries(Object.entries(found).map(([key, tensor]) => [key, tensor.data]));
  }
}

/**
 * Whether the networks compute the same as in PyTorch (check.json) from one context. On some GPUs they do not.
 *
 * The comparison dreams one step with action 0, with one denoising step, from noise that is zero.
 */
export async function computesRight(ort, world, networks, context, expected) {
  const still = { gaussian: (length) => new Float32Array(length), uniform: () => 0 };
  const dream = new Dream(ort, { ...world, sampler: { ...world.sampler, s_churn: 0 } }, networks, still);
  await dream.reset(context);
  const { endProbability } = await dream.step(0, 1);
  const differences = dream.pixels.reduce((sum, pixel, i) => sum + Math.abs(pixel - expected.pixels[i]), 0);
  return (
    differences < 2 * dream.size &&
    Math.abs(dream.value - expected.value) < 0.02 * (1 + Math.abs(expected.value)) &&
    Math.abs(endProbability - expected.end) < 0.02
  );
}
