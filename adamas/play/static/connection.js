// The WebSocket, and how it comes back when it breaks.

import { parseNote, reconnectDelay } from "./messages.js";

const MISUSE = 1008;
const FULL = 1013;

/**
 * Calls, with what happened:
 *   onNote(object)         a text message
 *   onUpdate(ArrayBuffer)  a binary message, not looked at yet
 *   onStatus(state, text)  state "connecting" | "open" | "lost" | "refused", text for the player
 */
export class Connection {
  #socket = null;
  #attempt = 0;
  #timer = 0;
  #state = "connecting";

  constructor(url, handlers) {
    this.url = url;
    this.handlers = handlers;
    // No need to wait any longer when the network comes back or somebody looks again.
    const hurry = () => this.#state === "lost" && !document.hidden && this.#connect();
    window.addEventListener("online", hurry);
    document.addEventListener("visibilitychange", hurry);
    this.#connect();
  }

  /** Send, if there is a connection; whether there was. */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Try again now, also after a refusal. */
  retry() {
    this.#attempt = 0;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", (event) => this.#receive(event.data));
    socket.addEventListener("close", (event) => this.#closed(event));
    this.#socket = socket;
  }

  #receive(data) {
    if (data instanceof ArrayBuffer) {
      this.handlers.onUpdate(data);
      return;
    }
    let note;
    try {
      note = parseNote(data);
    } catch (error) {
      console.warn("ignored a message:", error.message);
      return;
    }
    if (note.type === "hello") {
      this.#attempt = 0; // not earlier: a server may accept a connection only to close it
      this.#status("open", "connected");
    }
    this.handlers.onNote(note);
  }

  #closed(event) {
    if (event.code === MISUSE) {
      this.#status("refused", `refused: ${event.reason || "no reason given"}`);
      return;
    }
    const why = event.code === FULL ? event.reason || "the server is full" : "connection lost";
    this.#status("lost", `${why}, trying again`);
    this.#timer = setTimeout(() => this.#connect(), reconnectDelay(this.#attempt));
    this.#attempt += 1;
  }

  #status(state, text) {
    this.#state = state;
    this.handlers.onStatus(state, text);
  }
}
