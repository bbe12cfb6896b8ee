// Small helpers for the page.

export const byId = (id) => document.getElementById(id);

/** A new element: its properties, then its children (elements or text). */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Set text only if it has changed, which saves a layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setPressed(button, pressed) {
  button.setAttribute("aria-pressed", String(pressed));
}

/** A button whose label says what a click will do. `on` is what it has switched on; the style sheet may use it. */
export function setAction(button, on, label, icon) {
  button.dataset.on = String(on);
  setText(button.querySelector(".label"), label);
  button.querySelector("use")?.setAttribute("href", `#icon-${icon}`);
}

/** A button that cannot be used gives the reason in its title, and in a notice when it is pressed. */
export function setAllowed(button, allowed, why) {
  button.setAttribute("aria-disabled", String(!allowed));
  button.title = allowed ? "" : why;
}

export const isAllowed = (button) => button.getAttribute("aria-disabled") !== "true";

/** A number with a sign and a real minus. */
export function signed(value, digits = 0) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : "+") + text;
}

/** A number with a real minus: whole numbers as such, others with `digits`. */
export function plain(value, digits = 2) {
  const text = Number.isInteger(value) ? String(value) : value.toFixed(digits);
  return text.replace("-", "−");
}

/** A value from this browser's storage, or `otherwise` if there is none or storage is disabled. */
export function recall(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`adamas-${key}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`adamas-${key}`, JSON.stringify(value));
  } catch {
    // storage is disabled or full
  }
}

let noticeTimer = 0;
let noticed = -Infinity;

/** Show a notice for some seconds; screen readers read it aloud. Notices within 300 ms are shown together. */
export function notice(text, seconds = 5) {
  const element = byId("notice");
  const together = performance.now() - noticed < 300;
  element.textContent = together ? `${element.textContent}\n${text}` : text;
  noticed = performance.now();
  element.classList.add("shown");
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => element.classList.remove("shown"), seconds * 1000);
}
