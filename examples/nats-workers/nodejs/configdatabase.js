import { parse } from "pg-connection-string";

import { wrong } from "./config.js";

const accepted = "postgres://user:password@host:5432/database or key=value pairs";
// What the library reads.
const read = new Set(["host", "port", "user", "password", "database", "ssl", "sslmode", "sslcert", "sslkey", "sslrootcert",
  "sslnegotiation", "uselibpqcompat", "application_name", "fallback_application_name", "replication", "statement_timeout",
  "lock_timeout", "idle_in_transaction_session_timeout", "query_timeout", "options"]);
// What the Go worker's reads and keeps to itself: one URL may be for both.
const readByGo = new Set(["dbname", "connect_timeout", "passfile", "service", "servicefile", "sslpassword", "sslsni", "sslcertmode",
  "krbspn", "krbsrvname", "target_session_attrs", "min_protocol_version", "max_protocol_version", "channel_binding",
  "require_auth", "default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity", "client_encoding"]);
// The library takes any other word for verify-full.
const modes = ["disable", "prefer", "require", "verify-ca", "verify-full"];

const isURL = /^postgres(ql)?:\/\//;

/**
 * Tells whether a part of a URL's password may have been taken for its host, port,
 * database or parameters, which are said when a connection fails.
 * @param {string} text
 */
function ambiguous(text) {
  if (!isURL.test(text)) return false;
  const [, server, path, query = ""] = /^\w+:\/\/([^/?]*)([^?]*)(?:\?(.*))?$/s.exec(text) ?? [];
  return server.indexOf("@") !== server.lastIndexOf("@") || path.includes("@") || text.includes("#")
    || [...new URLSearchParams(query).keys()].some((name) => !/^[A-Za-z_][A-Za-z0-9_.]*$/.test(name));
}

/**
 * @param {import("./config.js").Get} get
 * @returns {{database: import("pg").ClientConfig, passwordAmongParameters: boolean}}
 */
export function readDatabase(get) {
  const text = get("DATABASE_URL");
  return { database: readConnection(get, text), passwordAmongParameters: /password\s*=/.test(text) };
}

/**
 * @param {import("./config.js").Get} get
 * @param {string} text
 * @returns {import("pg").ClientConfig}
 */
function readConnection(get, text) {
  if (!text) throw wrong("DATABASE_URL", `is not set; it takes ${accepted}`);
  if (ambiguous(text)) {
    throw wrong("DATABASE_URL", "is no connection string; in a URL @ / ? # of a name or password are written %40 %2F %3F %23");
  }
  try {
    const url = isURL.test(text) ? text : urlOfPairs(text);
    // The library reads what is badly escaped as it stands.
    if (!url || /%(?![0-9a-f]{2})/i.test(url)) throw new Error("malformed");
    // As libpq reads sslmode, which this library by itself does not.
    const options = /** @type {any} */ (parse(url, /** @type {any} */ ({ useLibpqCompat: !url.includes("uselibpqcompat") })));
    if (options.port && !/^\d{1,5}$/.test(options.port)) throw new Error("malformed");
    if (options.sslmode && !modes.includes(options.sslmode)) throw new Error("malformed");
    return {
      ...Object.fromEntries(Object.entries(options).filter(([name]) => read.has(name))),
      port: options.port ? Number(options.port) : undefined,
      database: options.database || options.dbname || undefined,
      options: forServer(options, options.options || get("PGOPTIONS")),
    };
  } catch (err) {
    const { path, code } = /** @type {NodeJS.ErrnoException} */ (err);
    if (path && code) throw wrong("DATABASE_URL", `names a file that cannot be read: ${path}: ${code}`);
    // The parser's message may quote a part of a password.
    throw wrong("DATABASE_URL", `is no connection string; it takes ${accepted}`);
  }
}

/**
 * Adds what is nobody's here to the options for the server, as the Go worker
 * does: it is a setting of Postgres, or the server says that it is none.
 * @param {Record<string, unknown>} all
 * @param {string} options
 */
function forServer(all, options) {
  const settings = Object.entries(all)
    .filter(([name]) => !read.has(name) && !readByGo.has(name) && !name.startsWith("pool_"))
    .map(([name, value]) => `-c ${name}=${String(value).replace(/[\s\\]/g, "\\$&")}`);
  return [options, ...settings].filter(Boolean).join(" ") || undefined;
}

/**
 * Turns libpq's key=value pairs into a URL; undefined when they are none.
 * @param {string} text
 */
function urlOfPairs(text) {
  const pair = /\s*([A-Za-z_][\w.]*)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/gy;
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
