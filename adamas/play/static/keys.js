// Key bindings: which keys are held, and which action they mean. Nothing here uses the page.
//
// A token is "up", "down", "left", "right", "fire", or "action:3" for the action of that number.

const OPPOSITE = { up: "down", down: "up", left: "right", right: "left" };

const CODES = {
  ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right",
  KeyW: "up", KeyS: "down", KeyA: "left", KeyD: "right", Space: "fire",
};

/** Where a key sits on the keyboard (KeyboardEvent.code), as a token; null for keys that mean nothing here. */
export function tokenOfKey(code) {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
  if (digit) return `action:${digit[1]}`;
  return CODES[code] ?? null;
}

/** "uprightfire" as ["up", "right", "fire"], "noop" as []; null for a name that says something else. */
export function partsOf(name) {
  const plain = name.toLowerCase().replace(/[-_ ]/g, "");
  if (plain === "noop") return [];
  const found = /^(up|down)?(left|right)?(fire)?$/.exec(plain);
  return found && plain ? found.slice(1).filter(Boolean) : null;
}

/** Names as arrows: "upleftfire" is "↖ fire"; other names stay as they are. */
export function labelOf(name) {
  const parts = partsOf(name);
  if (!parts || parts.length === 0) return name;
  const arrows = {
    up: "↑", down: "↓", left: "←", right: "→", upleft: "↖", upright: "↗", downleft: "↙", downright: "↘",
  };
  const direction = parts.filter((part) => part !== "fire").join("");
  return [arrows[direction], parts.includes("fire") && "fire"].filter(Boolean).join(" ");
}

/**
 * The number of the action that the held tokens (oldest first) ask for; null if none does.
 *
 * Of two opposite directions the newer counts. Where the game lacks the whole combination, the action with the most
 * of its parts is taken, and among equals the one with the newest part.
 */
export function chooseAction(tokens, names) {
  const newest = tokens.at(-1) ?? "";
  if (newest.startsWith("action:")) {
    const index = Number(newest.slice("action:".length));
    return index < names.length ? index : null;
  }
  const wanted = tokens.filter((token, i) => !tokens.slice(i + 1).includes(OPPOSITE[token]));
  let best = null;
  let bestScore = 0;
  names.forEach((name, index) => {
    const parts = partsOf(name) ?? [];
    if (parts.length === 0 || !parts.every((part) => wanted.includes(part))) return;
    const age = Math.max(...parts.map((part) => wanted.lastIndexOf(part)));
    const score = parts.length * 100 + age;
    if (score > bestScore) [best, bestScore] = [index, score];
  });
  return best;
}

/** What a game can be steered with: its directions, fire, diagonals, and the actions that have no such name. */
export function controlsOf(names) {
  const parts = names.map(partsOf);
  const has = (part) => parts.some((some) => some?.includes(part));
  return {
    up: has("up"), down: has("down"), left: has("left"), right: has("right"), fire: has("fire"),
    diagonal: parts.some((some) => some?.filter((part) => part !== "fire").length === 2),
    numbered: names.map((_, index) => index).filter((index) => parts[index] === null),
  };
}

/** The directions that a thumb at (x, y) means, y downwards and the rim of the pad at distance 1. */
export function directionsAt(x, y, controls) {
  const distance = Math.hypot(x, y);
  if (distance < 0.2) return [];
  // Half of a direction's sector: eight sectors where there are diagonals, four where not.
  const reach = controls.diagonal ? Math.sin(Math.PI / 8) : Math.SQRT1_2;
  const vertical = controls.up || controls.down;
  const horizontal = controls.left || controls.right;
  const found = [];
  if (Math.abs(y) / distance > reach || (vertical && !horizontal)) found.push(y < 0 ? "up" : "down");
  if (Math.abs(x) / distance > reach || (horizontal && !vertical)) found.push(x < 0 ? "left" : "right");
  return found.filter((direction) => controls[direction]);
}

/** What keyboard, gamepad and fingers hold, in the order in which it was pressed. */
export class Held {
  #held = []; // of {source, token}, oldest first

  /** Let one source hold exactly these tokens. */
  set(source, tokens) {
    const kept = this.#held.filter((one) => one.source !== source || tokens.includes(one.token));
    const known = kept.filter((one) => one.source === source).map((one) => one.token);
    const added = tokens.filter((token) => !known.includes(token)).map((token) => ({ source, token }));
    this.#held = [...kept, ...added];
  }

  clear() {
    this.#held = [];
  }

  get tokens() {
    return this.#held.map((one) => one.token);
  }
}
