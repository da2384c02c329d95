import assert from "node:assert/strict";
import test from "node:test";

import { retryAfter } from "../retryafter.js";
import { golden } from "./golden.js";

test("Retry-After is read as the golden file says", () => {
  const { now, answers } = golden("retry_after");
  assert.ok(answers.length > 0);
  for (const { retry_after, date, seconds } of answers) {
    assert.equal(retryAfter({ "retry-after": retry_after, date }, Date.parse(now)), seconds * 1000, `${retry_after} at ${date}`);
  }
});
