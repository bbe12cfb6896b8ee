// Touch controls: a pad of directions, a fire button, and one button for each other action.

import { byId, make } from "./dom.js";
import { controlsOf, directionsAt } from "./keys.js";

/** Let every finger on `element` hold what `tokensAt(event)` says until it is lifted. */
function holdWhilePressed(element, held, changed, tokensAt) {
  const set = (event, tokens) => {
    held.set(`pointer ${event.pointerId}`, tokens);
    changed();
  };
  element.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    element.setPointerCapture(event.pointerId); // the finger may slide off
    set(event, tokensAt(event));
  });
  element.addEventListener("pointermove", (event) => {
    if (element.hasPointerCapture(event.pointerId)) set(event, tokensAt(event));
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    element.addEventListener(end, (event) => set(event, []));
  }
  element.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press
}

/** Offer what a game with these action names allows. Called again when the game changes. */
export function buildTouch(names, held, changed) {
  const controls = controlsOf(names);
  const dpad = byId("dpad").cloneNode(true); // without the listeners of the game before
  byId("dpad").replaceWith(dpad);
  for (const direction of ["up", "down", "left", "right"]) {
    dpad.querySelector(`#pad-${direction}`).hidden = !controls[direction];
  }
  const vertical = controls.up || controls.down;
  const horizontal = controls.left || controls.right;
  dpad.hidden = !vertical && !horizontal;
  dpad.classList.toggle("flat", horizontal && !vertical);
  dpad.classList.toggle("alone", !controls.fire && controls.numbered.length === 0); // one thumb for each
  holdWhilePressed(dpad, held, changed, (event) => {
    const box = dpad.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    return directionsAt((2 * x) / box.width, (2 * y) / box.height, controls);
  });

  const fire = byId("pad-fire").cloneNode(true);
  byId("pad-fire").replaceWith(fire);
  fire.hidden = !controls.fire;
  holdWhilePressed(fire, held, changed, () => ["fire"]);

  const buttons = controls.numbered.map((index) => {
    const button = make("button", { id: `action-${index}`, className: "pad-button", tabIndex: -1 }, names[index]);
    button.type = "button";
    holdWhilePressed(button, held, changed, () => [`action:${index}`]);
    return button;
  });
  byId("pad-actions").replaceChildren(...buttons);
  byId("pad-actions").hidden = buttons.length === 0;
}

/** Show on the buttons what is held, whatever holds it. */
export function showHeld(tokens) {
  for (const name of ["up", "down", "left", "right", "fire"]) {
    byId(`pad-${name}`).classList.toggle("held", tokens.includes(name));
  }
  for (const button of byId("pad-actions").children) {
    button.classList.toggle("held", tokens.includes(button.id.replace("-", ":")));
  }
}
