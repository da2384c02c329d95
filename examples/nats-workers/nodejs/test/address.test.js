import assert from "node:assert/strict";
import test from "node:test";

import { guardedLookup, network, refusal } from "../address.js";
import { golden } from "./golden.js";

const g = golden("addresses");
const allow = g.allowed.networks.map(network);

test("addresses inside the network are refused", () => {
  assert.ok(g.refused.length > 0);
  for (const { address, kind } of g.refused) assert.ok(refusal(address, [])?.includes(`(${kind})`), `${address}: ${refusal(address, [])}`);
});

test("addresses outside are dialled", () => {
  for (const address of g.dialled) assert.equal(refusal(address, []), undefined, address);
});

test("allowed networks open what they hold and no more", () => {
  for (const address of g.allowed.dialled) assert.equal(refusal(address, allow), undefined, address);
  for (const address of g.allowed.refused) assert.ok(refusal(address, allow), address);
});

test("what is no address cannot be checked, and what is no network is none", () => {
  assert.ok(refusal("", []));
  for (const text of ["10.0.0.0", "10.0.0.0/33", "::/129", "a/8", "fe80::%1/64"]) assert.equal(network(text), undefined, text);
});

test("a name that leads inside is refused by what it resolves to", async () => {
  const look = (/** @type {any} */ networks) => new Promise((resolve) => {
    guardedLookup(networks, 1000)("localhost", { all: true }, (err, found) => resolve(err?.message ?? found));
  });
  assert.match(await look([]), /refused \(loopback\)/);
  const found = await look([network("127.0.0.0/8"), network("::1/128")]);
  assert.ok(Array.isArray(found) && found.length > 0);
});
