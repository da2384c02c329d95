import assert from "node:assert/strict";
import http from "node:http";
import net from "node:net";
import test from "node:test";
import zlib from "node:zlib";

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
  newEndpoint({ webhookID: 1, name: "n", url, method: "POST", headers: "", timeout: 1000, secrets: [], ...row });

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

test("no redirect is followed, and what an answer says is kept in part", async (t) => {
  const s = await server(t, (socket) =>
    socket.write(`HTTP/1.1 302 Found\r\nLocation: /x\r\nRetry-After: 7\r\nContent-Length: 3000\r\n\r\n${"a".repeat(3000)}`));
  const o = await send(s.url);
  assert.deepEqual([o.result, o.status, o.answer.length, o.retryAfter], ["answered", 302, 1024, 7000]);
  assert.equal(s.requests.length, 1);
});

test("a connection that closes as a request leaves costs one try and no second request", async (t) => {
  let answers = 0;
  const s = await server(t, (socket) => {
    if (answers++ > 0) return socket.destroy();
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  const sender = new Sender(4, [loopback]);
  assert.equal((await send(s.url, {}, sender)).result, "answered");
  assert.equal((await send(s.url, {}, sender)).result, "failed");
  assert.equal(s.requests.length, 2);
});

test("an answer without an end is one success, unpacked by nobody", async (t) => {
  const bomb = zlib.gzipSync(Buffer.alloc(1 << 20));
  const s = await server(t, (socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
    const more = () => socket.write(`${bomb.length.toString(16)}\r\n${bomb.toString("latin1")}\r\n`, "latin1", (err) => err || setImmediate(more));
    more();
  });
  assert.deepEqual([(await send(s.url)).result, s.requests.length], ["answered", 1]);
});

test("one deadline spans all of a try", async (t) => {
  for (const start of ["HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]) {
    const s = await server(t, (socket) => {
      socket.write(start);
      const drip = setInterval(() => socket.write("a"), 100);
      socket.on("close", () => clearInterval(drip));
    });
    const o = await send(s.url, { timeout: 400 });
    assert.deepEqual([o.result, o.error], ["failed", "no whole answer within 400 ms"], start);
    assert.ok(o.duration < 2000);
  }
});

test("what is no answer is a failure", async (t) => {
  for (const [answer, error] of /** @type {[string, RegExp][]} */ ([
    ["HTTP/1.1 200 OK\r\nX: " + "a".repeat(1 << 20), /Headers Overflow/i],
    ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", /status 200, but the answer broke off/],
    ["nonsense\r\n\r\n", /./],
  ])) {
    const s = await server(t, (socket) => socket.end(answer));
    const o = await send(s.url);
    assert.equal(o.result, "failed");
    assert.match(o.error, error);
  }
});

test("an answer that switches protocols is no success", async (t) => {
  const s = await server(t, (socket) => socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
  assert.deepEqual([(await send(s.url)).status, (await send(s.url)).result], [101, "answered"]);
});

test("every spelling of an address inside is refused before a packet leaves", async (t) => {
  const s = await server(t, () => {});
  const port = new URL(s.url).port;
  for (const host of ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "0"]) {
    const o = await send(`http://${host}:${port}/`, {}, new Sender(4, []));
    assert.equal(o.result, "failed", host);
    assert.match(o.error, /is refused \(/, host);
  }
  assert.equal(s.requests.length, 0);
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

test("a try ends with the process and is no failure", async (t) => {
  const s = await server(t, () => {});
  const end = new AbortController();
  setTimeout(() => end.abort(), 50);
  assert.equal((await new Sender(4, [loopback]).try(end.signal, endpoint(s.url), event())).result, "released");
});

test("user info becomes an Authorization header and no proxy is asked", async (t) => {
  process.env.http_proxy = process.env.HTTP_PROXY = "http://127.0.0.1:9/";
  t.after(() => {
    delete process.env.http_proxy;
    delete process.env.HTTP_PROXY;
  });
  /** @type {http.IncomingHttpHeaders[]} */
  const got = [];
  const s = http.createServer((req, res) => {
    got.push(req.headers);
    res.end();
  });
  await new Promise((resolve) => s.listen(0, "127.0.0.1", () => resolve(undefined)));
  t.after(() => s.close());
  const { port } = /** @type {net.AddressInfo} */ (s.address());
  assert.equal((await send(`http://u:p%40@127.0.0.1:${port}/`)).status, 200);
  assert.equal(got[0].authorization, "Basic " + Buffer.from("u:p@").toString("base64"));
});
