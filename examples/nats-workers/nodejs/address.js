import net from "node:net";

import { addressesOf } from "./names.js";

/**
 * Networks as bytes and length, after the IANA registries of special-purpose addresses.
 * @typedef {{bytes: number[], bits: number}} Network
 */

/** @param {string} text like 10.0.0.0/8 @returns {Network | undefined} */
export function network(text) {
  const [, address, bits] = /^([0-9A-Fa-f.:]+)\/(0|[1-9][0-9]{0,2})$/.exec(text) ?? [];
  const bytes = address ? bytesOf(address) : undefined;
  if (!bytes || Number(bits) > 8 * bytes.length) return undefined;
  return { bytes, bits: Number(bits) };
}

/** @param {string} address without a zone @returns {number[] | undefined} */
function bytesOf(address) {
  if (net.isIPv4(address)) return address.split(".").map(Number);
  if (!net.isIPv6(address)) return undefined;
  const four = /^(.*:)([0-9.]+)$/.exec(address);
  if (four && net.isIPv4(four[2])) {
    const [a, b, c, d] = four[2].split(".").map(Number);
    address = `${four[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  }
  const [head, tail] = address.split("::").map((part) => part.split(":").filter(Boolean));
  const words = tail ? [...head, ...Array(8 - head.length - tail.length).fill("0"), ...tail] : head;
  return words.flatMap((word) => [parseInt(word, 16) >> 8, parseInt(word, 16) & 255]);
}

/** @param {Network} n @param {number[]} bytes */
function contains(n, bytes) {
  if (n.bytes.length !== bytes.length) return false;
  return bytes.every((byte, i) => {
    const bits = Math.min(8, Math.max(0, n.bits - 8 * i));
    return (byte ^ n.bytes[i]) >> (8 - bits) === 0;
  });
}

/** @param {string} prefix @param {string} kind @returns {[Network, string]} */
const n = (prefix, kind) => [/** @type {Network} */ (network(prefix)), kind];

const mapped = /** @type {Network} */ (network("::ffff:0:0/96"));
const global6 = /** @type {Network} */ (network("2000::/3"));

const inside4 = [
  n("0.0.0.0/8", "unspecified"),
  n("10.0.0.0/8", "private"),
  n("100.64.0.0/10", "carrier-grade NAT"),
  n("127.0.0.0/8", "loopback"),
  n("169.254.0.0/16", "link-local"), // clouds serve credentials here
  n("172.16.0.0/12", "private"),
  n("192.0.0.0/24", "reserved"),
  n("192.0.2.0/24", "documentation"),
  n("192.31.196.0/24", "reserved"),
  n("192.52.193.0/24", "reserved"),
  n("192.88.99.0/24", "6to4"),
  n("192.168.0.0/16", "private"),
  n("192.175.48.0/24", "reserved"),
  n("198.18.0.0/15", "benchmark"),
  n("198.51.100.0/24", "documentation"),
  n("203.0.113.0/24", "documentation"),
  n("224.0.0.0/4", "multicast"),
  n("240.0.0.0/4", "reserved"),
];

// NAT64, 6to4 and Teredo carry an IPv4 address that a gateway would dial
// unchecked. Mapped addresses never come here: they are looked up as IPv4.
const inside6 = [
  n("::/128", "unspecified"),
  n("::1/128", "loopback"),
  n("64:ff9b::/96", "NAT64"),
  n("64:ff9b:1::/48", "NAT64"),
  n("100::/64", "discard"),
  n("2001::/32", "Teredo"),
  n("2001:2::/48", "benchmark"),
  n("2001::/23", "reserved"),
  n("2001:db8::/32", "documentation"),
  n("2002::/16", "6to4"),
  n("2620:4f:8000::/48", "reserved"),
  n("3fff::/20", "documentation"),
  n("fc00::/7", "unique local"),
  n("fe80::/10", "link-local"),
  n("fec0::/10", "site-local"),
  n("ff00::/8", "multicast"),
];

/**
 * A network that is to be opened. One of mapped addresses becomes one of IPv4, as
 * which they are looked up: as it stands it would open nothing, and one that goes
 * beyond them half of what it says.
 * @param {string} text
 * @returns {Network | undefined}
 */
export function opened(text) {
  const n = network(text);
  if (!n || !contains(mapped, n.bytes)) return n;
  return n.bits < 96 ? undefined : { bytes: n.bytes.slice(12), bits: n.bits - 96 };
}

/**
 * Why an address is not to be dialled; undefined when it may be.
 * @param {string} address
 * @param {Network[]} allow
 */
export function refusal(address, allow) {
  const [bare, zone] = address.split("%");
  let bytes = bytesOf(bare);
  if (!bytes) return `address ${address} cannot be checked`;
  if (contains(mapped, bytes)) bytes = bytes.slice(12);
  const plain = bytes;
  if (allow.some((a) => contains(a, plain))) return undefined;
  let kind = (plain.length === 4 ? inside4 : inside6).find(([inside]) => contains(inside, plain))?.[1];
  // All else of IPv6 is for special use or for nobody yet.
  if (plain.length === 16 && !contains(global6, plain)) kind ??= "reserved";
  if (zone !== undefined) kind = "scoped";
  return kind && `address ${address} is refused (${kind}); WEBHOOK_ALLOW_NETWORKS opens networks`;
}

/**
 * Why a host is not to be connected to, as far as it can be told where somebody else looks up its name.
 * @param {string} host as URL has it, without brackets
 * @param {Network[]} allow
 */
export function unresolvedRefusal(host, allow) {
  if (net.isIP(host)) return refusal(host, allow);
  if (/^(.+\.)?localhost\.?$/.test(host)) return refusal("127.0.0.1", allow); // wherever it is looked up (RFC 6761)
  // URL makes an address of all that it can take for one.
  return /^[\w-]+(\.[\w-]+)*\.?$/.test(host) ? undefined : `host ${host} is neither a name nor an address`;
}

/** For what needs no guard. */
export const everywhere = [n("0.0.0.0/0", "")[0], n("::/0", "")[0]];

/**
 * A look-up that answers only what may be dialled. What it answers is what is
 * dialled, so neither a name's spelling nor a second answer of its name server
 * gets around it.
 * @param {Network[]} allow
 * @param {number} timeout in ms
 * @returns {net.LookupFunction}
 */
export function guardedLookup(allow, timeout) {
  return (hostname, options, answer) => {
    addressesOf(hostname, timeout).then((addresses) => {
      const found = addresses.map((address) => ({ address, family: net.isIP(address) }));
      const good = found.filter(({ address }) => !refusal(address, allow));
      if (good.length === 0) return answer(new Error(refusal(addresses[0], allow)), []);
      if (options.all) return answer(null, good);
      answer(null, good[0].address, good[0].family);
    }, (err) => answer(err, []));
  };
}
