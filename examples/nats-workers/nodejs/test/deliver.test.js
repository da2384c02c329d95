import assert from "node:assert/strict";
import net from "node:net";
import test from "node:test";

import { network } from "../address.js";
import { Sender } from "../deliver.js";
import { newEndpoint } from "../endpoints.js";
import { Event } from "../event.js";

const loopback = /** @type {import("../address.js").Network} */ (network("127.0.0.0/8"));
const forever = new AbortController().signal;

/**
 * A server on loopback that answers each connection with what respond writes, and its requests.
 * @param {import("node:test").TestContext} t
 * @param {(socket: net.Socket) => void} respond
 */
async function server(t, respond) {
  /** @type {string[]} */
  const requests = [];
  const s = net.createServer((socket) => {
    socket.on("error", () => {});
    let head = "";
    socket.on("data", (chunk) => {
      head += chunk.toString("latin1");
      const [, length] = /content-length: (\d+)/i.exec(head) ?? [];
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 || head.length < end + 4 + Number(length ?? 0)) return;
      requests.push(head);
      head = "";
      respond(socket);
    });
    sockets.add(socket);
  });
  const sockets = new Set();
  await new Promise((resolve) => s.listen(0, "127.0.0.1", () => resolve(undefined)));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    s.close();
  });
  return { requests, url: `http://127.0.0.1:${/** @type {net.AddressInfo} */ (s.address()).port}/hook` };
}

/** @param {string} url @param {object} [row] */
const endpoint = (url, row) =>
  newEndpoint({ webhookID: 1, name: "n", url, method: "POST", headers: "", timeout: 60_000, secrets: [], enabled: true,
    deleted: false, ...row });

const event = () => new Event({ webhookID: 1, messageID: "m-1", body: Buffer.from('{"n": 9223372036854775808}'), trace: "t" });

/** @param {string} url @param {object} [row] @param {Sender} [sender] */
const send = (url, row, sender = new Sender(4, [loopback])) => sender.try(forever, endpoint(url, row), event());

test("a request has the body's bytes, the webhook's headers and the standard's", async (t) => {
  const s = await server(t, (socket) => socket.write("HTTP/1.1 204 No Content\r\n\r\n"));
  const o = await send(s.url, { headers: '{"X-A": "ö", "Webhook-Id": "forged", "Traceparent": "forged", "Content-Length": "1"}', secrets: ["whsec_AAAA"] });
  assert.deepEqual([o.result, o.status, o.error], ["answered", 204, ""]);
  assert.ok(s.requests[0].endsWith('\r\n\r\n{"n": 9223372036854775808}'));
  for (const header of [/^POST \/hook HTTP/, /X-A: \xc3\xb6\r\n/, /webhook-id: m-1\r\n/, /webhook-signature: v1,/,
    /content-type: application\/json\r\n/i, /traceparent: t\r\n/, /content-length: 26\r\n/]) assert.match(s.requests[0], header);
  assert.doesNotMatch(s.requests[0], /forged/);
});

test("what no request can be made of fails and shows no URL", async () => {
  for (const row of [{ url: "ftp://h/" }, { url: "http:hunter2" }, { url: "http://hunter2:0/" }, { url: "http://a\\hunter2" }, { url: "//h" },
    { url: "http://h/", method: "P T" }, { url: "http://h/", headers: '{"a": []}' }, { url: "http://h/", secrets: ["hunter2"] }]) {
    const o = await send(row.url, row);
    assert.equal(o.result, "failed");
    assert.doesNotMatch(o.error, /hunter2/);
    assert.notEqual(o.error, "");
  }
});

test("a proxy that is away is named", async () => {
  const proxy = { host: "localhost", port: 1, headers: {} };
  const o = await send("http://endpoint.example/hunter2", {}, new Sender(4, [], proxy));
  assert.equal(o.result, "failed");
  assert.match(o.error, /^the proxy: .*ECONNREFUSED/);
  assert.doesNotMatch(o.error, /hunter2/);
});

test("a try ends with the process and is no failure", async (t) => {
  const s = await server(t, () => {});
  const end = new AbortController();
  setTimeout(() => end.abort(), 50);
  assert.equal((await new Sender(4, [loopback]).try(end.signal, endpoint(s.url), event())).result, "released");
});
