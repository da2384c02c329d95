import assert from "node:assert/strict";
import test from "node:test";

import pg from "pg";

import { atFault, unconnected } from "../database.js";
import { refused } from "../refusal.js";

test("an error of the server without a SQLSTATE proves nothing", () => {
  const cfg = /** @type {import("../config.js").Config} */ ({});
  const err = new pg.DatabaseError("too many clients", 0, "error");
  assert.equal(atFault(err), false);
  assert.equal(refused(err, cfg), undefined);
  unconnected.add(err);
  assert.equal(refused(err, cfg), undefined);
});
