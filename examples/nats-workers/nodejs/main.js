#!/usr/bin/env node
import { ConfigError, readConfig } from "./config.js";
import { log, setLog } from "./log.js";
import { startMonitor } from "./monitor.js";
import { oneLine, said } from "./text.js";
import { Worker } from "./worker.js";

/** Answers the exit code: 0 after a signal, 2 for a configuration that cannot work, said in one line. */
async function run() {
  const stop = new AbortController();
  // A second signal ends the process at once.
  const end = () => {
    process.off("SIGTERM", end).off("SIGINT", end);
    stop.abort();
  };
  try {
    const cfg = readConfig(process.env);
    setLog(cfg);
    process.on("SIGTERM", end).on("SIGINT", end);
    const w = new Worker(cfg);
    await startMonitor(w, stop.signal);
    await w.run(stop.signal);
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
