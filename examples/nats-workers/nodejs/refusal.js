import pg from "pg";

import { wrong } from "./config.js";
import { unconnected } from "./database.js";
import { said, unknownAuthority } from "./text.js";

/**
 * Answers the configuration error that a failed first call proves.
 * @param {any} err
 * @param {import("./config.js").Config} cfg
 */
export function refused(err, cfg) {
  const message = err instanceof Error ? err.message : "";
  if (message.includes("client password must be a")) {
    return wrong("DATABASE_URL", "has no password, and the server asks for one");
  }
  // The library has no other error for it than these words.
  if (message === "The server does not support SSL connections") {
    return wrong("DATABASE_URL", "asks for TLS, and the server has none; see sslmode");
  }
  if (unknownAuthority(err)) {
    return wrong("DATABASE_URL", `the server's certificate is signed by nobody we know (${said(err)}); sslrootcert names the authorities`);
  }
  return err instanceof pg.DatabaseError ? refusedBy(err, cfg) : undefined;
}

// How pgbouncer begins: its SQLSTATE, 08P01, says nothing.
const poolerRefuses = "unsupported startup parameter";

/**
 * @param {import("pg").DatabaseError} err
 * @param {import("./config.js").Config} cfg
 */
function refusedBy(err, cfg) {
  const { code = "", message } = err;
  if (!unconnected.has(err)) {
    if (code === "42501") return wrong("DATABASE_URL", `names a role without rights (${message}); grant it rule_engine_worker`);
    if (code !== "25001") return undefined;
    return wrong("DATABASE_URL", `leads to sessions that work otherwise (${message}); ALTER ROLE ... SET default_transaction_isolation = 'read committed' mends it`);
  }
  if (code.startsWith("28") || ["3D000", "42501"].includes(code)) {
    return wrong("DATABASE_URL", `is refused by the server: ${message}`);
  }
  if (["42704", "22023", "55P02", "42601"].includes(code) || message.startsWith(poolerRefuses)) {
    // Of a password among the parameters what stands behind a space or a & is one, too.
    const what = cfg.passwordAmongParameters ? ` (SQLSTATE ${code})` : `: ${message}`;
    return wrong("DATABASE_URL", "has a parameter that the server does not take" + what);
  }
  return undefined;
}
