import { parse } from "pg-connection-string";

import { wrong } from "./config.js";

const accepted = "postgres://user:password@host:5432/database or key=value pairs";
// The library takes any other word for verify-full.
const modes = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/**
 * @param {import("./config.js").Get} get
 * @returns {import("pg").ClientConfig}
 */
export function readDatabase(get) {
  const text = get("DATABASE_URL");
  if (!text) throw wrong("DATABASE_URL", `is not set; it takes ${accepted}`);
  try {
    const url = /^postgres(ql)?:\/\//.test(text) ? text : urlOfPairs(text);
    // The library reads what is badly escaped as it stands.
    if (!url || /%(?![0-9a-f]{2})/i.test(url)) throw new Error("malformed");
    // As libpq reads sslmode, which this library by itself does not.
    const options = /** @type {any} */ (parse(url, /** @type {any} */ ({ useLibpqCompat: !url.includes("uselibpqcompat") })));
    if (options.port && !/^\d{1,5}$/.test(options.port)) throw new Error("malformed");
    if (options.sslmode && !modes.includes(options.sslmode)) throw new Error("malformed");
    return { ...options, port: options.port ? Number(options.port) : undefined };
  } catch (err) {
    const { path, code } = /** @type {NodeJS.ErrnoException} */ (err);
    if (path && code) throw wrong("DATABASE_URL", `names a file that cannot be read: ${path}: ${code}`);
    // The parser's message may quote a part of a password.
    throw wrong("DATABASE_URL", `is no connection string; it takes ${accepted}`);
  }
}

/**
 * Turns libpq's key=value pairs into a URL; undefined when they are none.
 * @param {string} text
 */
function urlOfPairs(text) {
  const pair = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/gy;
  const query = new URLSearchParams();
  let end = 0;
  let database = "";
  for (let found = pair.exec(text); found; found = pair.exec(text)) {
    end = pair.lastIndex;
    const value = (found[2] ?? found[3]).replace(/\\(.)/g, "$1");
    if (found[1] === "dbname") database = value;
    else query.set(found[1], value);
  }
  if (end === 0 || text.slice(end).trim() !== "") return undefined;
  return `postgres:///${encodeURIComponent(database)}?${query.toString().replaceAll("+", "%20")}`;
}
