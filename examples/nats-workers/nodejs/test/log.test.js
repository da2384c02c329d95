import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";

import { textOf } from "../log.js";

/** What a process logs on standard error. @param {string} cfg */
const logged = (cfg) => spawnSync(process.execPath, ["--input-type=module", "-e",
  `import { log, setLog } from ${JSON.stringify(new URL("../log.js", import.meta.url).href)};
  setLog(${cfg}); log.debug("fine"); log.info({ n: 1 }, "usual"); log.error("bad");`], { encoding: "utf8" }).stderr;

test("a line of text quotes what has spaces, quotes and line ends", () => {
  const line = { level: "WARN", time: "now", n: 1, error: 'a "b"\nc', none: "", of: ["x"], msg: "two words" };
  assert.equal(textOf(JSON.stringify(line)), String.raw`time=now level=WARN msg="two words" n=1 error="a \"b\"\nc" none="" of="[\"x\"]"` + "\n");
});

test("a log is text or JSON, from its level on", () => {
  const text = logged('{ logJSON: false, logLevel: "info" }');
  assert.match(text, /^time=\S+ level=INFO msg=usual n=1\ntime=\S+ level=ERROR msg=bad\n$/);
  assert.match(logged('{ logJSON: false, logLevel: "debug" }'), /level=DEBUG msg=fine\n/);
  assert.doesNotMatch(logged('{ logJSON: false, logLevel: "error" }'), /usual/);
  const line = JSON.parse(logged('{ logJSON: true, logLevel: "info" }').split("\n")[0]);
  assert.deepEqual([line.level, line.msg, line.n], ["INFO", "usual", 1]);
  assert.ok(Date.parse(line.time) > 0);
});
