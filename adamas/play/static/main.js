// The page: messages from the server update the screens and panels, and the player's input is sent to the server.

import { Connection } from "./connection.js";
import { byId, isAllowed, notice, setAction, setAllowed, setPressed, setText } from "./dom.js";
import { Episodes } from "./episodes.js";
import { listenToCommands, listenToGamepads, listenToHeldKeys } from "./input.js";
import { chooseAction, Held } from "./keys.js";
import { parseUpdate, restoring } from "./messages.js";
import { Latency, Rate } from "./meters.js";
import { drawSpeed, Panels } from "./panels.js";
import { listenToShown, Settings } from "./settings.js";
import { buildTouch, showHeld } from "./touch.js";
import { View } from "./view.js";

const VIEWS = ["dream", "both", "real"];

let hello = null; // the first message of the server
let last = null; // the header of the newest update drawn
let newest = null; // bytes of an update that is not drawn yet
const received = new Rate();
const drawn = new Rate();
const latency = new Latency();
const held = new Held();
const panels = new Panels();
const view = new View(1, 1);
const settings = new Settings((values) => connection.send({ type: "settings", ...values }));
const episodes = new Episodes();

// --- messages from the server ---

const url = new URL("ws", window.location.href);
url.protocol = url.protocol.replace("http", "ws");
const connection = new Connection(url, { onNote, onUpdate, onStatus });

function onStatus(state, text) {
  byId("status").dataset.state = state;
  setText(byId("status-text"), text);
  byId("retry").hidden = state !== "refused";
  if (state !== "open") latency.forget();
}

function onNote(note) {
  if (note.type === "hello") welcome(note);
  else if (note.type === "notice") notice(note.text);
  else if (note.type === "saved") {
    notice(`recorded: ${note.dataset}, episode ${note.episode}, ${note.steps} steps`);
    if (!playing()) episodes.refresh();
  }
}

function welcome(news) {
  if (last?.recording) notice("connected again; the recording had stopped");
  hello = news;
  document.title = `${hello.title} · Adamas`;
  setText(byId("title"), hello.title);
  setText(byId("game"), hello.game);
  view.resize(hello.height, hello.width);
  for (const name of VIEWS) setAllowed(byId(`view-${name}`), hello.views.includes(name), hello.why_no_real);
  byId("training").hidden = !hello.views.includes("real");
  byId("views").hidden = hello.views.length === 1 && !hello.has_policy; // a recording has no game beside it
  byId("control").hidden = !hello.has_policy;
  document.body.classList.toggle("without-policy", !hello.has_policy);
  document.body.classList.toggle("without-rewards", !hello.has_rewards);
  document.body.classList.toggle("without-sampler", hello.samplers.length === 0);
  setText(byId("policy-title"), hello.has_policy ? "Policy" : "Action");
  settings.limit(hello.limits);
  settings.offer(hello.samplers);
  panels.start(hello.actions);
  held.clear();
  buildTouch(hello.actions, held, press);
  episodes.player.names = hello.actions;
  for (const message of restoring(last, hello)) connection.send(message);
  sent = null;
}

function onUpdate(bytes) {
  received.tick(performance.now());
  if (newest === null) requestAnimationFrame(draw);
  newest = bytes; // replaces an older update that has not been drawn
}

function draw() {
  const bytes = newest;
  newest = null;
  try {
    const { header, images } = parseUpdate(bytes, hello.height, hello.width);
    show(header, images);
  } catch (error) {
    console.warn("ignored an update:", error.message);
  }
}

function show(header, images) {
  const taken = header.control === "human" && last?.control !== "human";
  last = header;
  drawn.tick(performance.now());
  view.draw(header, images);
  panels.draw(header);
  settings.show(header.settings);
  showState(header);
  // Nothing reacts to keys while paused or at the end of an episode, so the latency would mean nothing.
  if (header.paused || (header.real ?? header.dream).over) latency.forget();
  latency.drawn(header.ack, performance.now());
  if (taken) press();
}

setInterval(() => {
  if (!last) return;
  const now = performance.now();
  const seen = { received: received.perSecond(now), drawn: drawn.perSecond(now) };
  drawSpeed(last.speed, seen, latency.median);
}, 500); // readable, unlike the frames' own pace

function showState(header) {
  for (const name of VIEWS) setPressed(byId(`view-${name}`), header.view === name);
  setPressed(byId("control"), header.control === "human");
  setAction(byId("pause"), header.paused, header.paused ? "Resume" : "Pause", header.paused ? "play" : "pause");
  setAction(byId("record"), header.recording, header.recording ? "Stop" : "Record", "record");
  byId("fork").hidden = header.view !== "both";
  document.body.classList.toggle("human", header.control === "human");
}

// --- input of the player ---

let sent = null; // the action that was sent last
let seq = 0;

/** A key or button was pressed or released. Pressing one takes over from the agent. */
function press() {
  showHeld(held.tokens);
  if (!hello || !last) return;
  const action = chooseAction(held.tokens, hello.actions);
  if (last.control !== "human") {
    if (action !== null) takeOver();
    return;
  }
  if (action === sent || !tell(action)) return;
  latency.sent(seq, performance.now());
}

/** Send the held action. Returns whether it was sent. */
function tell(action) {
  if (!connection.send({ type: "action", action, seq: seq + 1 })) return false;
  sent = action;
  seq += 1;
  return true;
}

/** Let the player act instead of the agent, with what is held now. */
function takeOver() {
  tell(chooseAction(held.tokens, hello.actions));
  say({ type: "control", who: "human" });
}

const say = (message) => {
  if (!connection.send(message)) notice("not connected");
};
const buttons = {
  control: () => {
    if (last.control === "agent") takeOver();
    else say({ type: "control", who: "agent" });
  },
  pause: () => say({ type: "pause", paused: !last.paused }),
  step: () => say(last.paused ? { type: "step" } : { type: "pause", paused: true }),
  reset: () => say({ type: "reset" }),
  fork: () => say({ type: "fork" }),
  record: () => say({ type: "record", on: !last.recording }),
};
for (const name of VIEWS) buttons[`view-${name}`] = () => say({ type: "view", view: name });
for (const [id, act] of Object.entries(buttons)) {
  byId(id).addEventListener("click", () => {
    if (!isAllowed(byId(id))) notice(byId(id).title);
    else if (last) act();
  });
}

const click = (id) => () => byId(id).hidden || byId(id).click();
const nextView = () => {
  const offered = VIEWS.filter((name) => hello?.views.includes(name));
  if (last) click(`view-${offered[(offered.indexOf(last.view) + 1) % offered.length]}`)();
};
const help = () => byId("help-dialog").showModal();
const commands = {
  c: click("control"), p: click("pause"), n: click("step"), ".": click("step"), r: click("reset"),
  f: click("fork"), o: click("record"), v: nextView, "?": help,
};

const playing = () => !byId("play").hidden;
listenToHeldKeys(held, { active: playing, changed: press });
listenToCommands(commands, playing);
listenToCommands({ ...episodes.keys, "?": help }, () => !playing(), { repeat: true });
listenToGamepads(held, { active: playing, changed: press });

// --- the page itself ---

function route() {
  const [tab, ...parts] = window.location.hash.slice(1).split("/");
  const browsing = tab === "episodes";
  // Pause while the player looks at episodes. The game does not resume by itself.
  if (browsing && playing() && last?.control === "human" && !last.paused) buttons.pause();
  byId("play").hidden = browsing;
  byId("episodes").hidden = !browsing;
  for (const name of ["play", "episodes"]) {
    if ((name === "episodes") === browsing) byId(`tab-${name}`).setAttribute("aria-current", "page");
    else byId(`tab-${name}`).removeAttribute("aria-current");
  }
  held.clear();
  press();
  if (browsing) episodes.open(parts);
  else episodes.leave();
}

window.addEventListener("hashchange", route);
byId("help").addEventListener("click", help);
byId("help-dialog").addEventListener("click", (event) => {
  if (event.target === byId("help-dialog")) byId("help-dialog").close(); // a click beside the dialog
});
byId("help-close").addEventListener("click", () => byId("help-dialog").close());
byId("retry").addEventListener("click", () => connection.retry());
// A button that was clicked loses the focus, so that Space fires instead of pressing it again.
document.addEventListener("click", (event) => {
  const pressed = event.target.closest("button, summary, input[type=checkbox], nav a");
  if (event.detail > 0 && pressed && !byId("help-dialog").open) pressed.blur();
});
listenToShown();
route();
