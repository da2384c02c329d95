import { wrong } from "./config.js";

const levels = ["debug", "info", "warn", "error"];

/**
 * metrics is undefined where nobody listens.
 * @typedef {{metrics: {host: string, port: number} | undefined, logJSON: boolean, logLevel: string}} Monitoring
 */

/**
 * @param {import("./config.js").Get} get
 * @returns {Monitoring}
 */
export function readMonitoring(get) {
  const metrics = readAddress(get("METRICS_ADDR").trim());
  const format = get("LOG_FORMAT", "text").trim();
  if (format !== "text" && format !== "json") throw wrong("LOG_FORMAT", `is "${format}"; it takes text or json`);
  const level = get("LOG_LEVEL", "info").trim();
  if (!levels.includes(level)) throw wrong("LOG_LEVEL", `is "${level}"; it takes debug, info, warn or error`);
  return { metrics, logJSON: format === "json", logLevel: level };
}

/** @param {string} addr */
function readAddress(addr) {
  if (!addr) return undefined;
  const [, bracketed, plain, port] = /^(?:\[([^[\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(addr) ?? [];
  if (port === undefined) throw wrong("METRICS_ADDR", `is "${addr}"; it takes host:port like 127.0.0.1:9464`);
  if (!/^\d+$/.test(port) || Number(port) > 65535) {
    throw wrong("METRICS_ADDR", `has the port "${port}"; it takes a number up to 65535`);
  }
  // Others see it only when that was asked for by address.
  return { host: bracketed || plain || "127.0.0.1", port: Number(port) };
}
