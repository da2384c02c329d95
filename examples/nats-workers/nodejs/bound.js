import { mostOfHeader } from "./information.js";
import { mostOfAnswer } from "./request.js";

// An answer's header and the information before it, and as much of its body as is read, in chunks of a byte each.
const mostOfWire = 2 * mostOfHeader + 8 * mostOfAnswer;

/**
 * Ends a connection on which an answer takes more bytes than one that is read to its
 * bound can. undici bounds the header, and tells of a body; what stands around chunks
 * it passes over, without an end where there is none.
 * @param {import("node:net").Socket} socket
 */
export function boundAnswers(socket) {
  const { read, write } = socket;
  let bytes = 0;
  // One request at a time is on a connection, written as a whole before its answer is read.
  socket.write = (/** @type {any[]} */ ...args) => {
    bytes = 0;
    return write.apply(socket, /** @type {any} */ (args));
  };
  socket.read = (size) => {
    const chunk = read.call(socket, size);
    bytes += chunk?.length ?? 0;
    if (bytes <= mostOfWire) return chunk;
    socket.destroy(new Error(`it takes more than ${mostOfWire} bytes`));
    return null;
  };
}
