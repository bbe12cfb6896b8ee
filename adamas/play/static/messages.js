// Parsing of the server's messages, and the messages that restore the state after a reconnection.

/** The pause in milliseconds before a connection is tried again, for the attempts 0, 1, ... */
export function reconnectDelay(attempt) {
  return Math.min(500 * 2 ** attempt, 5000);
}

/**
 * An update: {header, images}, the images as a Map of RGB bytes, row by row, by their names. They are views into
 * `buffer`, not copies. Throws an Error if the bytes are not an update of frames of this size.
 */
export function parseUpdate(buffer, height, width) {
  if (buffer.byteLength < 4) throw new Error("an update of less than 4 bytes");
  const length = new DataView(buffer).getUint32(0, true);
  if (4 + length > buffer.byteLength) throw new Error("an update ends within its description");
  const text = new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 4, length));
  const header = JSON.parse(text);
  const size = height * width * 3;
  if (!Array.isArray(header?.images)) throw new Error("an update without a list of images");
  if (4 + length + header.images.length * size !== buffer.byteLength) {
    throw new Error("an update's images do not fill it");
  }
  const images = new Map(header.images.map((name, i) => [name, new Uint8Array(buffer, 4 + length + i * size, size)]));
  return { header, images };
}

/** A text message as an object with a `type`. Throws an Error if it is none. */
export function parseNote(text) {
  const note = JSON.parse(text);
  if (typeof note?.type !== "string") throw new Error("a message without a type");
  return note;
}

/** What to send after a reconnection, so that all is as in `last`, the header of the last update seen. */
export function restoring(last, hello) {
  if (!last) return [];
  const messages = [{ type: "settings", ...last.settings }];
  if (hello.views.includes(last.view)) messages.push({ type: "view", view: last.view });
  messages.push({ type: "control", who: last.control });
  if (last.paused) messages.push({ type: "pause", paused: true });
  return messages;
}

/** Over-states of the protocol in words; "" while an episode goes on. */
export function overText(over) {
  return { horizon: "horizon reached", "cut off": "cut off by the time limit" }[over] ?? over;
}
