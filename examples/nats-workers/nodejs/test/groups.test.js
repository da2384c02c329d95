import assert from "node:assert/strict";
import test from "node:test";

import { nanoseconds } from "../groups.js";

test("of two consumers made in the same millisecond one is older", () => {
  const times = ["2026-11-30T11:28:01Z", "2026-11-30T11:28:01.5Z", "2026-11-30T11:28:01.500000001Z", "2026-11-30T11:28:01.51Z", "2026-11-30T11:28:02.000000001Z"];
  times.slice(1).forEach((time, i) => assert.ok(nanoseconds(times[i]) < nanoseconds(time), time));
  assert.equal(nanoseconds("1970-01-01T00:00:01.25Z"), 1_250_000_000n);
});
