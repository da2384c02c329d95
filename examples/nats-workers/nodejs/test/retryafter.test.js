import assert from "node:assert/strict";
import test from "node:test";

import { retryAfter } from "../retryafter.js";

const now = Date.UTC(2026, 2, 1, 12);
const day = 86_400_000;

test("Retry-After is read in every form", () => {
  for (const [text, want] of /** @type {[string, number][]} */ ([
    ["", 0], ["0", 0], ["1", 1000], [" 120 ", 120_000], ["000007", 7000], ["86400", day], ["86401", day],
    ["100000000000000000000", day], ["-5", 0], ["1.5", 0], ["1e3", 0], ["soon", 0], ["٣", 0],
    ["Sun, 01 Mar 2026 12:01:30 GMT", 90_000],
    ["Sunday, 01-Mar-26 12:01:30 GMT", 90_000],
    ["Sun Mar  1 12:01:30 2026", 90_000],
    ["Sun, 01 Mar 2026 11:00:00 GMT", 0],
    ["Sat, 01 Mar 2036 12:00:00 GMT", day],
    ["Fri, 31 Dec 9999 23:59:59 GMT", day],
    ["2026-03-01T12:01:30Z", 0],
    ["Sun, 31 Feb 2026 12:01:30 GMT", 0],
  ])) assert.equal(retryAfter({ "retry-after": text }, now), want, text);
});

test("Retry-After is a date of the endpoint's clock", () => {
  const headers = { date: "Sun, 01 Mar 2026 12:00:00 GMT", "retry-after": "Sun, 01 Mar 2026 12:00:30 GMT" };
  for (const off of [-600_000, 0, 600_000]) assert.equal(retryAfter(headers, now + off), 30_000);
});
