import pg from "pg";

// Bounds the way to the server, in ms.
const cancelWait = 2000;

/**
 * Has the server end what it does for a client that nobody waits for any more. It would go on waiting for a lock or a
 * standby, and take the place of another session. As the protocol has it that goes over a connection of its own; without
 * TLS, for it says which session and nothing else, and the server takes it before it asks for any.
 * @param {any} client whose fields are not all in the library's types
 * @returns {Promise<void>}
 */
export function cancel({ host, port, processID, secretKey }) {
  const line = /** @type {any} */ (new pg.Connection());
  return new Promise((resolve) => {
    const timer = setTimeout(() => line.stream.destroy(), cancelWait);
    line.on("connect", () => line.cancel(processID, secretKey));
    line.on("error", () => {}); // the server is away, and with it what it did
    line.on("end", () => {
      clearTimeout(timer);
      resolve();
    });
    if (host.startsWith("/")) line.connect(`${host}/.s.PGSQL.${port}`);
    else line.connect(port, host);
  });
}
