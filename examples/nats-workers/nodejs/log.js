import { pino } from "pino";

// Written before the process goes on.
const out = pino.destination({ dest: 2, sync: true });
let json = false;

/**
 * One line for each thing worth telling. No line at any level has a secret or a
 * payload in it.
 */
export const log = pino({
  base: undefined,
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (label) => ({ level: label.toUpperCase() }) },
}, { write: (line) => out.write(json ? line : textOf(line)) });

/** @param {import("./configmonitoring.js").Monitoring} cfg */
export function setLog(cfg) {
  json = cfg.logJSON;
  log.level = cfg.logLevel;
}

/** Makes a line of JSON one of the Go worker's text. @param {string} line */
export function textOf(line) {
  const { time, level, msg, ...facts } = JSON.parse(line);
  const all = Object.entries({ time, level, msg, ...facts });
  return all.map(([name, value]) => `${name}=${quoted(value)}`).join(" ") + "\n";
}

/** @param {unknown} value */
function quoted(value) {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return text === "" || /[\s"=\p{C}]/u.test(text) ? JSON.stringify(text) : text;
}
