// Keyboard and gamepad input: keys become tokens in `held`, and letters become commands.

import { tokenOfKey } from "./keys.js";

const TYPED_INTO = "input, select, textarea";

/** Whether a key press is for the page and not for a dialog, a text field or the browser. */
function isForUs(event) {
  return !(
    event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented ||
    event.target.closest?.(TYPED_INTO) || document.querySelector("dialog[open]")
  );
}

/** Whether it presses the button that was reached with the Tab key. */
const pressesButton = (event) => event.code === "Space" && event.target.closest?.("button, a, summary");

/** Keep `held` (keys.js) up to date and call `changed()` after each change. Keys are ignored unless `active()`. */
export function listenToHeldKeys(held, { active, changed }) {
  window.addEventListener("keydown", (event) => {
    const token = tokenOfKey(event.code);
    if (!token || !active() || !isForUs(event) || pressesButton(event)) return;
    event.preventDefault(); // no scrolling
    if (event.repeat) return;
    held.set(event.code, [token]);
    changed();
  });
  window.addEventListener("keyup", (event) => {
    // Always, because a key may be released after the view has changed.
    if (!tokenOfKey(event.code)) return;
    held.set(event.code, []);
    changed();
  });
  const release = () => {
    held.clear();
    changed();
  };
  window.addEventListener("blur", release);
  document.addEventListener("visibilitychange", () => document.hidden && release());
}

/** `commands` maps KeyboardEvent.key, in lower case, to a function. Call it after listenToHeldKeys: those go first. */
export function listenToCommands(commands, active, { repeat = false } = {}) {
  window.addEventListener("keydown", (event) => {
    const command = commands[event.key.toLowerCase()];
    if (!command || !active() || !isForUs(event) || pressesButton(event)) return;
    event.preventDefault();
    if (repeat || !event.repeat) command();
  });
}

const STICK = 0.5; // how far a stick must lean

function tokensOfGamepad(pad) {
  const pressed = (index) => pad.buttons[index]?.pressed;
  const [x = 0, y = 0] = pad.axes;
  return [
    (pressed(12) || y < -STICK) && "up",
    (pressed(13) || y > STICK) && "down",
    (pressed(14) || x < -STICK) && "left",
    (pressed(15) || x > STICK) && "right",
    pressed(0) && "fire",
  ].filter(Boolean);
}

/** Gamepads send no events, so they are polled in every animation frame while one is connected. */
export function listenToGamepads(held, { active, changed }) {
  const last = new Map(); // gamepad's index to its tokens, joined
  let asking = false;

  function ask() {
    const pads = navigator.getGamepads().filter(Boolean);
    for (const pad of pads) {
      const tokens = active() ? tokensOfGamepad(pad) : [];
      if (tokens.join() === (last.get(pad.index) ?? "")) continue;
      last.set(pad.index, tokens.join());
      held.set(`gamepad ${pad.index}`, tokens);
      changed();
    }
    asking = pads.length > 0;
    if (asking) requestAnimationFrame(ask);
  }

  window.addEventListener("gamepadconnected", () => {
    if (!asking) ask();
  });
  window.addEventListener("gamepaddisconnected", (event) => {
    last.delete(event.gamepad.index);
    held.set(`gamepad ${event.gamepad.index}`, []);
    changed();
  });
}
