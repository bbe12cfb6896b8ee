// Small helpers for the page.

export const byId = (id) => document.getElementById(id);

/** A new element: its properties, then its children (elements or text). */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Set text only where it changed, so that nothing is laid out again for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setPressed(button, pressed) {
  button.setAttribute("aria-pressed", String(pressed));
}

/** A button that cannot be used says why: in its title, and to `notice` when it is pressed all the same. */
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

/** What this browser remembers; it may refuse to, and then nothing is lost but the memory. */
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
    // private mode or full
  }
}

let noticeTimer = 0;
let noticed = -Infinity;

/** Show a line for some seconds; screen readers say it. Lines that come together are shown together. */
export function notice(text, seconds = 5) {
  const element = byId("notice");
  const together = performance.now() - noticed < 300;
  element.textContent = together ? `${element.textContent}\n${text}` : text;
  noticed = performance.now();
  element.classList.add("shown");
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => element.classList.remove("shown"), seconds * 1000);
}
