import crypto from "node:crypto";
import fs from "node:fs";
import tls from "node:tls";

import { credsAuthenticator, nkeyAuthenticator, tokenAuthenticator, usernamePasswordAuthenticator } from "@nats-io/transport-node";

import { wrong } from "./config.js";
import { said } from "./text.js";

/**
 * @typedef {import("./config.js").Get} Get
 * @typedef {import("@nats-io/transport-node").Authenticator} Authenticator
 */

/**
 * Answers undefined where there is no NATS at all.
 * @param {Get} get
 * @param {boolean} needed
 * @returns {import("@nats-io/transport-node").ConnectionOptions | undefined}
 */
export function readNATS(get, needed) {
  const text = get("NATS_URL", needed ? "nats://127.0.0.1:4222" : "");
  const urls = readServers(text);
  const authenticator = readAuthentication(get, urls);
  const secure = readTLS(get) ?? (urls.some((u) => u.protocol === "tls:") ? {} : undefined);
  if (!text) return undefined;
  return { servers: urls.map((u) => `${u.hostname}:${u.port || 4222}`), authenticator, ...(secure && { tls: secure }) };
}

/** @param {string} text */
function readServers(text) {
  const takes = "it takes nats://host:4222, several with commas";
  const servers = text.split(",").map((s) => s.trim()).filter(Boolean);
  if (text && servers.length === 0) throw wrong("NATS_URL", `has no address; ${takes}`);
  return servers.map((s) => {
    // No part is shown: a password that was not escaped, or the lack of a host, puts
    // it where the scheme, the port or a path would be.
    const [, scheme, rest] = /^(?:([^/]*):\/\/)?(.*)$/s.exec(s) ?? [];
    if (scheme !== undefined && scheme !== "nats" && scheme !== "tls") {
      throw wrong("NATS_URL", "has a scheme that is none of nats and tls");
    }
    const port = /:(\d*)\/?$/.exec(rest)?.[1];
    if (port && (Number(port) < 1 || Number(port) > 65535)) {
      throw wrong("NATS_URL", "has a port that is none; it takes a number from 1 to 65535");
    }
    try {
      const url = new URL(`${scheme ?? "nats"}://${rest}`);
      if (url.hostname && !/[^/]/.test(url.pathname) && !url.search && !url.hash) return url;
    } catch {
      // The error would show a password.
    }
    throw wrong("NATS_URL", `is no address; ${takes}`);
  });
}

/**
 * @param {Get} get
 * @param {URL[]} urls
 * @returns {Authenticator[]}
 */
function readAuthentication(get, urls) {
  /** @type {Authenticator[]} */
  const all = [];
  const user = get("NATS_USER");
  const pass = get("NATS_PASS");
  const token = get("NATS_TOKEN");
  if (user && !pass) throw wrong("NATS_PASS", "is not set, but NATS_USER is");
  if (!user && pass) throw wrong("NATS_USER", "is not set, but NATS_PASS is");
  if (token && user) throw wrong("NATS_TOKEN", "cannot be used together with NATS_USER");
  // The client reads no user info in a URL: user and password, or a token alone.
  const info = urls.find((u) => u.username);
  if (user) all.push(usernamePasswordAuthenticator(user, pass));
  else if (token) all.push(tokenAuthenticator(token));
  else if (info?.password) all.push(usernamePasswordAuthenticator(decodeURIComponent(info.username), decodeURIComponent(info.password)));
  else if (info) all.push(tokenAuthenticator(decodeURIComponent(info.username)));

  fromFile(get, "NATS_CREDS", "credentials", credsAuthenticator, all);
  fromFile(get, "NATS_NKEY_SEED_FILE", "nkey seed", (seed) => nkeyAuthenticator(trimmed(seed)), all);
  return all;
}

/** @param {Uint8Array} seed */
const trimmed = (seed) => new TextEncoder().encode(new TextDecoder().decode(seed).trim());

/**
 * @param {Get} get
 * @param {string} variable
 * @param {string} what
 * @param {(content: Uint8Array) => Authenticator} make
 * @param {Authenticator[]} all
 */
function fromFile(get, variable, what, make, all) {
  const file = get(variable);
  if (!file) return;
  // Read for each connection: credentials are renewed in their place.
  /** @type {Authenticator} */
  const authenticator = (nonce) => make(new Uint8Array(fs.readFileSync(file)))(nonce);
  try {
    authenticator("a nonce");
  } catch (err) {
    throw wrong(variable, `holds no ${what}: ${because(err)}`);
  }
  all.push(authenticator);
}

/** Leaves out a file's name: a secret may stand where it was asked for. @param {unknown} err */
const because = (err) => said(err).replace(/, \w+ '.*'$/s, "");

/** @param {Get} get @returns {import("@nats-io/transport-node").TlsOptions | undefined} */
function readTLS(get) {
  const ca = readFile(get, "NATS_CA");
  if (ca !== undefined) {
    try {
      new crypto.X509Certificate(ca);
    } catch {
      throw wrong("NATS_CA", `${get("NATS_CA")} holds no certificate in PEM form`);
    }
  }
  if (!get("NATS_CERT") && !get("NATS_KEY")) return ca === undefined ? undefined : { ca };
  if (!get("NATS_CERT")) throw wrong("NATS_CERT", "is not set, but NATS_KEY is");
  if (!get("NATS_KEY")) throw wrong("NATS_KEY", "is not set, but NATS_CERT is");
  const cert = readFile(get, "NATS_CERT");
  const key = readFile(get, "NATS_KEY");
  try {
    tls.createSecureContext({ cert, key });
  } catch (err) {
    throw wrong("NATS_CERT", `and NATS_KEY are no pair: ${because(err)}`);
  }
  return { ...(ca !== undefined && { ca }), cert, key };
}

/** @param {Get} get @param {string} variable */
function readFile(get, variable) {
  if (!get(variable)) return undefined;
  try {
    return fs.readFileSync(get(variable), "utf8");
  } catch (err) {
    throw wrong(variable, `cannot be read: ${because(err)}`);
  }
}
