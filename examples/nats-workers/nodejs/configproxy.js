import { wrong } from "./config.js";
import { basicAuth } from "./text.js";
import { userAgent } from "./version.js";

/**
 * The forward proxy that the operator chose for all that goes to endpoints, and what it is told with each request.
 * @typedef {{host: string, port: number, headers: Record<string, string>}} Proxy
 */

/**
 * @param {import("./config.js").Get} get
 * @returns {Proxy | undefined}
 */
export function readProxy(get) {
  const text = get("WEBHOOK_PROXY").trim();
  if (!text) return undefined;
  try {
    // URL repairs what other parsers refuse, and knows no port 0.
    if (!/^http:\/\/(?:[^/?#\\\s%]|%[0-9a-f]{2})+\/*$/i.test(text)) throw new Error("malformed");
    const url = new URL(text);
    const { hostname, port } = url;
    if (port === "0") throw new Error("malformed");
    const credentials = basicAuth(url);
    return {
      host: hostname.replace(/^\[(.*)\]$/, "$1"),
      port: Number(port || 80),
      headers: { "User-Agent": userAgent, ...credentials && { "Proxy-Authorization": credentials } },
    };
  } catch {
    // No part is shown: what was not escaped of a password is somewhere in it.
    throw wrong("WEBHOOK_PROXY", "is no address of an http proxy; it takes http://user:password@host:3128, "
      + "where @ / ? # of a name or password are written %40 %2F %3F %23");
  }
}
