import http from "node:http";
import net from "node:net";

import { everywhere, guardedLookup } from "./address.js";
import { mostOfHeader } from "./information.js";
import { joined, said } from "./text.js";

/**
 * @typedef {import("undici").buildConnector.connector} Connector
 * @typedef {import("./configproxy.js").Proxy} Proxy
 */

/**
 * Makes connections to endpoints through the proxy, to those of http as well. A proxy that gets the request itself
 * reads it, may change or repeat it, and answers in the endpoint's place: its own 403 would count as the endpoint's.
 * Of CONNECT what it says is its own and the rest is not. undici's ProxyAgent cannot be told when a try is over.
 * @param {Proxy} proxy
 * @param {Partial<net.TcpNetConnectOpts>} dialling how connections are made; where the proxy lies is the operator's choice
 * @param {Connector} overTLS
 * @param {number} timeout of all of it, in ms
 * @returns {Connector}
 */
export function tunnels(proxy, dialling, overTLS, timeout) {
  return (options, callback) => {
    const { host, port } = proxy;
    const tunnel = net.connect({
      ...dialling, host, port, lookup: guardedLookup(everywhere, timeout), noDelay: true, keepAlive: true, keepAliveInitialDelay: 60e3,
    });
    let last = tunnel; // what an error is to be told to
    const late = setTimeout(() => last.destroy(new Error(`no connection through the proxy within ${timeout} ms`)), timeout);
    /** @type {import("undici").buildConnector.Callback} */
    const end = (...connected) => {
      clearTimeout(late);
      if (connected[0]) tunnel.destroy();
      callback(...connected);
    };
    connect(tunnel, proxy, targetOf(options)).then(() => {
      if (options.protocol !== "https:") return end(null, tunnel);
      last = /** @type {any} */ (overTLS({ ...options, httpSocket: tunnel }, end)); // it is the socket, and in no type
    }).catch((err) => end(err, null));
  };
}

/** @param {import("undici").buildConnector.Options} options */
const targetOf = ({ hostname, port, protocol }) => joined(hostname, port || (protocol === "https:" ? 443 : 80));

/**
 * Nothing of an answer is shown but its status: a proxy may say again what it was told, the password too.
 * @param {net.Socket} tunnel
 * @param {Proxy} proxy
 * @param {string} target
 */
function connect(tunnel, { headers }, target) {
  return /** @type {Promise<void>} */ (new Promise((resolve, reject) => {
    let dialled = false;
    tunnel.once("connect", () => { dialled = true; });
    tunnel.on("error", () => {}); // also while nobody has it
    const request = http.request({
      createConnection: () => tunnel, method: "CONNECT", path: target, headers: { Host: target, ...headers }, maxHeaderSize: mostOfHeader,
    });
    request.removeHeader("Connection"); // it would say that it ends
    request.on("connect", ({ statusCode = 0 }, _, more) => {
      if (statusCode < 200 || statusCode > 299) reject(new Error(`the proxy refuses to connect: status ${statusCode}`));
      else if (more.length > 0) reject(new Error("the proxy says more than it was asked"));
      else resolve();
    });
    request.on("error", (err) => reject(new Error(dialled ? "the proxy's answer to CONNECT cannot be read" : `the proxy: ${said(err)}`)));
    request.end();
  }));
}
