import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";

/** What a process logs when it runs this. @param {string} code */
const linesOf = (code) => spawnSync(process.execPath, ["--input-type=module", "-e",
  `import { Complaint } from ${JSON.stringify(new URL("../complaint.js", import.meta.url).href)};
  import { Outage } from ${JSON.stringify(new URL("../outage.js", import.meta.url).href)};
  let now = 0; performance.now = () => 1000 * now; ${code}`], { encoding: "utf8" }).stderr.trim().split("\n");

test("what goes on is said once in half a minute, whatever its causes", () => {
  const lines = linesOf(`const c = new Complaint(); for (; now < 62; now++) {
    c.say("cannot publish", "cause " + now); c.say("refused", "a cause", { subject: "a.b" }); }`);
  assert.equal(lines.length, 6, lines.join("\n"));
  assert.match(lines[0], /msg="cannot publish: cause 0"/);
  assert.match(lines[1], /msg="refused: a cause" subject=a\.b/);
  assert.match(lines[2], /msg="cannot publish: cause 30"/);
});

test("an outage of one call is said once in half a minute while others are answered", () => {
  const lines = linesOf(`const o = new Outage(); for (; now < 40; now++) {
    o.failed("claim", new Error("no such function")); o.answered("endpoints"); } o.answered("claim"); o.answered("claim");`);
  assert.equal(lines.length, 3, lines.join("\n"));
  assert.match(lines[0], /msg="waiting for postgres" call=claim error="no such function"/);
  assert.match(lines[2], /msg="postgres is there"/);
});
