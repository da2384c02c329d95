#!/usr/bin/env node
import { ConfigError, readConfig } from "./config.js";
import { controller } from "./context.js";
import { log } from "./log.js";
import { oneLine, said } from "./text.js";
import { Worker } from "./worker.js";

/** Answers the exit code: 0 after a signal, 2 for a configuration that cannot work, said in one line. */
async function run() {
  const stop = controller();
  // A second signal ends the process at once.
  const end = () => {
    process.off("SIGTERM", end).off("SIGINT", end);
    stop.abort();
  };
  try {
    const cfg = readConfig(process.env);
    process.on("SIGTERM", end).on("SIGINT", end);
    await new Worker(cfg).run(stop.signal);
    return 0;
  } catch (err) {
    if (err instanceof ConfigError) {
      process.stderr.write(oneLine(err.message) + "\n");
      return 2;
    }
    log.error({ error: said(err) }, "stopped");
    return 1;
  }
}

process.exit(await run());
