// What comes before an answer: to be passed over, whoever asked for it, but not for ever.

export const mostOfHeader = 64 << 10;

/** What undici says of an upgrade that was not asked for. */
export const badUpgrade = "bad upgrade";

/**
 * Looks at what undici takes for information, which ends the try when it throws.
 * @returns {(info: {statusCode: number, headers: object}) => void}
 */
export function informed() {
  let bytes = 0;
  return ({ statusCode, headers }) => {
    if (statusCode === 101) throw new Error(badUpgrade);
    if (statusCode < 100) throw new Error(`the answer's status is ${String(statusCode).padStart(3, "0")}, which is none`);
    bytes += "HTTP/1.1 100\r\n\r\n".length + JSON.stringify(headers).length;
    if (bytes > mostOfHeader) throw new Error(`the answer has more than ${mostOfHeader} bytes of header`);
  };
}

const unasked = Buffer.from("HTTP/1.1 100 ");

/**
 * undici ends a connection at a 100 that it did not ask for, and passes over a
 * 102. So the one is read as the other where an answer can begin: first in what
 * was read, or after an empty line.
 * @param {import("node:net").Socket} socket
 */
export function passContinue(socket) {
  const read = socket.read;
  socket.read = (size) => {
    const chunk = read.call(socket, size);
    if (Buffer.isBuffer(chunk)) {
      for (let at = chunk.indexOf(unasked); at >= 0; at = chunk.indexOf(unasked, at + 1)) {
        if (at === 0 || chunk.subarray(0, at).toString("latin1", Math.max(0, at - 4)) === "\r\n\r\n") chunk[at + unasked.length - 2] = 0x32;
      }
    }
    return chunk;
  };
}
