// The arithmetic around the networks, as in the Python package: a test compares the two. Nothing here has a state.

/** N + 1 noise levels from sigma_max down to sigma_min, then 0. `sampler` is that of world.json. */
export function karrasSigmas({ num_steps, sigma_min, sigma_max, rho }) {
  const [top, bottom] = [sigma_max ** (1 / rho), sigma_min ** (1 / rho)];
  const ramp = (i) => (num_steps > 1 ? i / (num_steps - 1) : 0);
  const sigmas = Array.from({ length: num_steps }, (_, i) => (top + ramp(i) * (bottom - top)) ** rho);
  return [...sigmas, 0];
}

/** dx / dsigma along the probability-flow ODE; `denoise(x, sigma)` is the network. */
async function slopeAt(denoise, x, sigma) {
  const denoised = await denoise(x, sigma);
  return x.map((value, k) => (value - denoised[k]) / sigma);
}

/** Raise the noise level of `x` from `sigma`: the new sample and its level. */
function churned(x, sigma, sampler, gaussian) {
  const churn = Math.min(sampler.s_churn / sampler.num_steps, Math.SQRT2 - 1);
  const gamma = sampler.s_tmin <= sigma && sigma <= sampler.s_tmax ? churn : 0;
  const hat = sigma * (1 + gamma);
  if (gamma === 0) return [x, hat];
  const noise = gaussian(x.length);
  const scale = sampler.s_noise * Math.sqrt(hat ** 2 - sigma ** 2);
  return [x.map((value, k) => value + scale * noise[k]), hat];
}

/** The samplers of diffusion/samplers.py by name: from the first point of a path to the last. */
const samplers = {
  async euler(denoise, x, sigmas, sampler, gaussian) {
    for (let i = 0; i + 1 < sigmas.length; i++) {
      const [from, hat] = churned(x, sigmas[i], sampler, gaussian);
      const slope = await slopeAt(denoise, from, hat);
      x = from.map((value, k) => value + (sigmas[i + 1] - hat) * slope[k]);
    }
    return x;
  },

  async heun(denoise, x, sigmas, sampler, gaussian) {
    for (let i = 0; i + 1 < sigmas.length; i++) {
      const [from, hat] = churned(x, sigmas[i], sampler, gaussian);
      const next = sigmas[i + 1];
      const slope = await slopeAt(denoise, from, hat);
      x = from.map((value, k) => value + (next - hat) * slope[k]);
      if (next === 0) break;
      const slopeNext = await slopeAt(denoise, x, next);
      x = from.map((value, k) => value + ((next - hat) * (slope[k] + slopeNext[k])) / 2);
    }
    return x;
  },
};

/**
 * From noise to a frame, along the probability-flow ODE, by the sampler that `sampler.method` names.
 *
 * `denoise(x, sigma)` is the network, `initial` comes from N(0, 1), `gaussian(length)` draws more of that. The path starts
 * around `centre`, a frame, or around 0.
 */
export async function sampleFrame(denoise, initial, sampler, gaussian, centre = null) {
  let x = sampler.scale_initial_noise ? initial.map((value) => value * sampler.sigma_max) : initial;
  if (centre) x = x.map((value, k) => value + centre[k]);
  return samplers[sampler.method](denoise, x, karrasSigmas(sampler), sampler, gaussian);
}

export function softmax(logits) {
  const highest = Math.max(...logits);
  const weights = Array.from(logits, (value) => Math.exp(value - highest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** The index that a uniform number `u` in [0, 1) draws. */
export function categorical(probabilities, u) {
  let rest = u;
  for (let i = 0; i < probabilities.length - 1; i++) {
    rest -= probabilities[i];
    if (rest < 0) return i;
  }
  return probabilities.length - 1;
}

/** `length` numbers from N(0, 1) out of uniform ones (Box and Muller 1958). */
export function gaussian(length, uniform = Math.random) {
  const numbers = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())); // 1 - u is never 0
    const angle = 2 * Math.PI * uniform();
    numbers[i] = radius * Math.cos(angle);
    if (i + 1 < length) numbers[i + 1] = radius * Math.sin(angle);
  }
  return numbers;
}

/** Pixels, 0 to 255, to the range that the networks work in, -1 to 1. */
export const toModelRange = (pixels) => Float32Array.from(pixels, (value) => (value * 2) / 255 - 1);

/** The way back, by rounding. */
export const toPixels = (x) =>
  Uint8Array.from(x, (value) => Math.round((Math.min(1, Math.max(-1, value)) + 1) * 127.5));
