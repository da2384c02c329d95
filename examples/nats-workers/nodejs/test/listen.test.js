import test from "node:test";

import { Listener } from "../listen.js";

test("a listener whose time is over waits for nothing", async () => {
  const end = new AbortController();
  end.abort();
  const db = /** @type {any} */ ({ config: {} });
  await new Listener(end.signal, db, 60_000).next(0);
});
