import os from "node:os";

import { opened } from "./address.js";
import { readDatabase } from "./configdatabase.js";
import { readMonitoring } from "./configmonitoring.js";
import { readNATS } from "./confignats.js";
import { readProxy } from "./configproxy.js";

/**
 * Is thrown when a variable of the environment, or what it points at, keeps the
 * worker from ever working. It names the variable and never shows a value that
 * may be secret.
 */
export class ConfigError extends Error {}

/** @param {string} variable @param {string} reason */
export const wrong = (variable, reason) => new ConfigError(`${variable}: ${reason}`);

/**
 * consumer names this process, not the JetStream consumer.
 * @typedef {{
 *   stream: string, subject: string, group: string, consumer: string, batch: number,
 *   allow: import("./address.js").Network[], doStream: boolean, doQueue: boolean,
 *   database: import("pg").ClientConfig, passwordAmongParameters: boolean,
 *   nats: import("@nats-io/transport-node").ConnectionOptions | undefined,
 *   proxy: import("./configproxy.js").Proxy | undefined,
 * } & import("./configmonitoring.js").Monitoring} Config
 * @typedef {(name: string, fallback?: string) => string} Get
 */

/**
 * @param {Record<string, string | undefined>} env
 * @returns {Config}
 */
export function readConfig(env) {
  /** @type {Get} */
  const get = (name, fallback = "") => {
    // Not trimmed: a password may begin or end with a space.
    const value = env[name] ?? "";
    return value.trim() === "" ? fallback : value;
  };
  const { doStream, doQueue } = readSources(get);
  return {
    doStream, doQueue,
    ...readDatabase(get),
    ...readNames(get),
    batch: readBatch(get),
    allow: readNetworks(get),
    proxy: readProxy(get),
    nats: readNATS(get, doStream),
    ...readMonitoring(get),
  };
}

/** @param {Get} get */
function readSources(get) {
  const sources = get("WORKER_SOURCES", "stream,queue").split(",").map((s) => s.trim());
  for (const s of sources) {
    if (s !== "stream" && s !== "queue") {
      throw wrong("WORKER_SOURCES", `has "${s}"; it takes stream, queue or stream,queue`);
    }
  }
  return { doStream: sources.includes("stream"), doQueue: sources.includes("queue") };
}

// NATS' limit and the database's.
const mostOfName = 255;

/** @param {Get} get */
function readNames(get) {
  const names = {
    stream: get("STREAM_NAME", "WEBHOOKS"),
    subject: get("SUBJECT", "webhooks.>"),
    group: get("QUEUE_GROUP", "webhook-workers"),
    consumer: get("CONSUMER_NAME", `${os.hostname() || "worker"}-${process.pid}`),
  };
  const { stream, subject, group, consumer } = names;
  for (const [variable, name] of [["STREAM_NAME", stream], ["QUEUE_GROUP", group], ["CONSUMER_NAME", consumer], ["SUBJECT", subject]]) {
    // Node reads bytes that are no UTF-8 as U+FFFD.
    if (name.includes("\uFFFD")) throw wrong(variable, "is not UTF-8");
    const bytes = Buffer.byteLength(name);
    if (bytes > mostOfName) throw wrong(variable, `has ${bytes} bytes; it takes at most ${mostOfName}`);
    if (/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(name)) {
      throw wrong(variable, `is ${JSON.stringify(name)}, which has characters that cannot be shown`);
    }
    if (name.trim() !== name) throw wrong(variable, `is "${name}"; it takes no space at its ends`);
  }
  for (const [variable, name] of [["STREAM_NAME", stream], ["QUEUE_GROUP", group]]) {
    if (/[.*>/\\\s]/.test(name)) {
      throw wrong(variable, `is "${name}"; a name of NATS has no space and none of . * > / \\`);
    }
  }
  checkSubject(subject);
  return names;
}

/** @param {string} subject */
function checkSubject(subject) {
  const tokens = subject.split(".");
  tokens.forEach((token, i) => {
    if (token === "" || /\s/.test(token)) throw wrong("SUBJECT", `is "${subject}", which has an empty part or a space`);
    if (token === ">" && i < tokens.length - 1) throw wrong("SUBJECT", `is "${subject}"; > stands only at the end`);
    if (token.length > 1 && /[*>]/.test(token)) {
      throw wrong("SUBJECT", `is "${subject}"; * and > stand for a whole part between dots`);
    }
  });
}

/** @param {Get} get */
function readBatch(get) {
  const text = get("BATCH_SIZE", "64");
  const n = /^[+]?\d+$/.test(text.trim()) ? Number(text) : 0;
  if (n < 1 || n > 1000) throw wrong("BATCH_SIZE", `is "${text}"; it takes a number from 1 to 1000`);
  return n;
}

/** @param {Get} get */
function readNetworks(get) {
  return get("WEBHOOK_ALLOW_NETWORKS").split(",").map((s) => s.trim()).filter(Boolean).map((s) => {
    const n = opened(s);
    if (!n) throw wrong("WEBHOOK_ALLOW_NETWORKS", `has "${s}"; it takes networks like 10.1.0.0/16,::1/128`);
    return n;
  });
}
