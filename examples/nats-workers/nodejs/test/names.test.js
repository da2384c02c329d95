import assert from "node:assert/strict";
import test from "node:test";

import { addressesOf, candidates, hostsOf, searchOf } from "../names.js";

test("a file of hosts gives a name all its addresses, whatever its case", () => {
  const hosts = hostsOf("# 10.0.0.9 no\n127.0.0.1\tlocalhost  Here.Example # there\n::1 localhost\n\nfe80::1%eth0 scoped.\nnonsense name\n");
  assert.deepEqual(Object.fromEntries(hosts), {
    "localhost": ["127.0.0.1", "::1"], "here.example": ["127.0.0.1"], "scoped": ["fe80::1%eth0"],
  });
});

test("a name is completed as resolv.conf says", () => {
  const pod = searchOf("nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local. cluster.local\noptions ndots:5 timeout:1\n");
  assert.deepEqual(candidates("orders", pod),
    ["orders.shop.svc.cluster.local", "orders.svc.cluster.local", "orders.cluster.local", "orders"]);
  assert.equal(candidates("hooks.example.com", pod).at(-1), "hooks.example.com");
  assert.deepEqual(candidates("hooks.example.com.", pod), ["hooks.example.com"]);
  assert.equal(candidates("a.b.c.d.e.example", pod)[0], "a.b.c.d.e.example");

  const plain = searchOf("; search no.example\ndomain example.org\n");
  assert.deepEqual(candidates("hooks.example.com", plain), ["hooks.example.com", "hooks.example.com.example.org"]);
  assert.deepEqual(candidates("intranet", plain), ["intranet.example.org", "intranet"]);
  assert.deepEqual(candidates("intranet", searchOf("")), ["intranet"]);
});

test("below localhost no name server is asked", async () => {
  assert.deepEqual(await addressesOf("db.localhost", 60_000), ["127.0.0.1", "::1"]);
});
