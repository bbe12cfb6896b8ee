// Drawing on canvases: frames, curves and the timeline of an episode.

const pictures = new WeakMap(); // canvas to its ImageData, used again for every frame

/** Paint RGB bytes, row by row, one canvas pixel each. */
export function paintFrame(canvas, rgb, height, width) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
    pictures.delete(canvas);
  }
  let picture = pictures.get(canvas);
  if (!picture) {
    picture = new ImageData(width, height);
    picture.data.fill(255);
    pictures.set(canvas, picture);
  }
  const data = picture.data;
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    data[to] = rgb[from];
    data[to + 1] = rgb[from + 1];
    data[to + 2] = rgb[from + 2];
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

let colours = null;
window.addEventListener("themechange", () => (colours = null));

/** The theme's colours, read from the style sheet once per theme. */
export function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    const names = ["dream", "real", "text", "muted", "line", "good", "bad", "surface", "accent"];
    colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return colours;
}

/** A canvas made ready at the screen's resolution: {context, width, height} in CSS pixels. */
function ready(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/**
 * Curves of up to `size` values each, the newest at the right edge; null breaks a line.
 * `series` is a list of {values, colour}. All share one scale, which holds 0.
 */
export function drawCurves(canvas, series, size) {
  const { context, width, height } = ready(canvas);
  if (!width) return; // hidden
  const values = series.flatMap((one) => one.values.filter((value) => value !== null));
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const y = (value) => (high > low ? 2 + ((high - value) / (high - low)) * (height - 4) : height / 2);
  context.lineWidth = 1;
  context.strokeStyle = palette().line;
  context.beginPath();
  context.moveTo(0, Math.round(y(0)) + 0.5);
  context.lineTo(width, Math.round(y(0)) + 0.5);
  context.stroke();
  for (const { values: line, colour } of series) {
    context.strokeStyle = palette()[colour];
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    let drawing = false;
    line.forEach((value, i) => {
      const x = ((size - line.length + i) / (size - 1)) * width;
      if (value !== null) context[drawing ? "lineTo" : "moveTo"](x, y(value));
      drawing = value !== null;
    });
    context.stroke();
  }
}

/** Rewards as ticks up and down, the end, and where the player is. */
export function drawTimeline(canvas, { frames, rewards, terminated }, current) {
  const { context, width, height } = ready(canvas);
  if (!width) return;
  const colour = palette();
  const middle = Math.round(height / 2);
  const x = (frame) => (frames > 1 ? (frame / (frames - 1)) * (width - 2) + 1 : width / 2);
  context.fillStyle = colour.line;
  context.fillRect(0, middle, width, 1);
  let largest = 1e-9; // spreading a long episode into Math.max would overflow the stack
  for (const reward of rewards) largest = Math.max(largest, Math.abs(reward));
  rewards.forEach((reward, i) => {
    if (reward === 0) return;
    // Small rewards stay visible beside large ones.
    const length = (0.35 + (0.65 * Math.abs(reward)) / largest) * (middle - 3);
    context.fillStyle = reward > 0 ? colour.good : colour.bad;
    context.fillRect(x(i + 1) - 1, reward > 0 ? middle - length : middle + 1, 2, length);
  });
  if (terminated) {
    context.fillStyle = colour.text;
    context.fillRect(width - 3, 3, 3, height - 6);
  }
  context.fillStyle = colour.accent;
  context.fillRect(x(current) - 1, 0, 2, height);
}
