import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";

/** What a process logs that looks so. @param {[number, number][]} looks */
const logged = (looks) => spawnSync(process.execPath, ["--input-type=module", "-e",
  `import { ClockWatch } from ${JSON.stringify(new URL("../clock.js", import.meta.url).href)};
  const c = new ClockWatch();
  for (const [postgres, nats] of ${JSON.stringify(looks)}) c.look(postgres, nats);`], { encoding: "utf8" }).stderr;

test("a clock that is not Postgres' is said once until it is again", () => {
  assert.equal(logged([[0, 0], [59_000, 3_600_000]]), "");
  const lines = logged([[-600_001, -400], [-660_000, 0], [1000, 0], [1000, 0], [120_000, 0]]).split("\n");
  assert.equal(lines.length, 4);
  assert.match(lines[0], /level=WARN .* seconds_ahead_of_postgres=-600 seconds_ahead_of_nats=0$/);
  assert.match(lines[1], /level=INFO .*again/);
  assert.match(lines[2], /level=WARN .* seconds_ahead_of_postgres=120$/);
});
