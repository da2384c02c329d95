// Looking up the names of endpoints. getaddrinfo, behind dns.lookup, keeps one of a few threads for as long as a name's
// server is silent, whether anybody still waits or not, and all other names wait behind it. Here a question is a
// datagram that nothing waits behind, and what getaddrinfo does before it asks is done by us.
import dns from "node:dns";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";

/**
 * What the files of the machine say of names: addresses, and what a short name may be completed with.
 * @typedef {{hosts: Map<string, string[]>, search: string[], dots: number}} Files
 */

/** @param {string} text of /etc/hosts */
export function hostsOf(text) {
  /** @type {Map<string, string[]>} */
  const hosts = new Map();
  for (const line of text.split("\n")) {
    const [address, ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (!net.isIP(address)) continue;
    for (const name of names.map(bare)) hosts.set(name, [...hosts.get(name) ?? [], address]);
  }
  return hosts;
}

/** @param {string} text of /etc/resolv.conf @returns {Omit<Files, "hosts">} */
export function searchOf(text) {
  let search = /** @type {string[]} */ ([]), dots = 1;
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.replace(/[#;].*/, "").trim().split(/\s+/);
    if (keyword === "search" || keyword === "domain") search = values.map(bare).filter(Boolean);
    if (keyword !== "options") continue;
    const ndots = values.map((value) => /^ndots:([0-9]+)$/.exec(value)?.[1]).filter(Boolean).at(-1);
    if (ndots) dots = Math.min(15, Number(ndots));
  }
  return { search, dots };
}

/**
 * The names to ask for, in this order, until one has an address.
 * @param {string} name
 * @param {Omit<Files, "hosts">} files
 */
export function candidates(name, { search, dots }) {
  if (name.endsWith(".")) return [bare(name)];
  const longer = search.map((domain) => `${name}.${domain}`);
  return name.split(".").length > dots ? [name, ...longer] : [...longer, name];
}

/** A name as it is compared. @param {string} name */
const bare = (name) => name.toLowerCase().replace(/\.$/, "");

const asLong = 5000; // ms for which a file is taken to be as it was

/** @type {Files & {read: number}} */
let kept = { hosts: new Map(), search: [], dots: 1, read: -Infinity };

/** @returns {Files} */
function files() {
  if (performance.now() - kept.read > asLong) {
    kept = { hosts: hostsOf(contents("/etc/hosts")), ...searchOf(contents("/etc/resolv.conf")), read: performance.now() };
  }
  return kept;
}

/** @param {string} path */
function contents(path) {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return ""; // as if it said nothing
  }
}

/** Whether the machine has addresses of IPv6, and one that the world can answer to. */
function version6() {
  try {
    const own = Object.values(os.networkInterfaces()).flatMap((all) => all ?? []).filter((a) => a.family === "IPv6" && !a.internal);
    return { some: own.length > 0, global: own.some(({ address }) => /^[23]/.test(address)) };
  } catch {
    return { some: true, global: false }; // a sandbox may not let us ask
  }
}

/** Answers that another of the name servers may not give. @type {Set<string>} */
const ofServer = new Set([dns.SERVFAIL, dns.REFUSED, dns.NOTIMP, dns.BADRESP]);

/** Asks for one name, and can be told to stop. */
class Question {
  #ended = false;
  /** @type {Set<dns.promises.Resolver>} */
  #asking = new Set();

  cancel() {
    this.#ended = true;
    for (const resolver of this.#asking) resolver.cancel();
  }

  /**
   * @param {string} name
   * @returns {Promise<string[]>} never empty
   */
  async addresses(name) {
    const { hosts, ...rest } = files();
    const known = hosts.get(bare(name));
    if (known) return known;
    if (/^(.*\.)?localhost$/.test(bare(name))) return ["127.0.0.1", "::1"]; // no name server is asked (RFC 6761)
    let failed;
    for (const candidate of candidates(name, rest)) {
      try {
        return await this.#both(candidate);
      } catch (err) {
        if (this.#ended) throw err;
        if (!failed || candidate === name) failed = err;
      }
    }
    throw failed;
  }

  /** @param {string} name */
  async #both(name) {
    const { some, global } = version6();
    const questions = [this.#ask("resolve4", name)];
    if (some) questions.push(this.#ask("resolve6", name));
    const answers = await Promise.allSettled(questions);
    if (global) answers.reverse();
    const addresses = answers.flatMap((got) => got.status === "fulfilled" ? got.value : []);
    if (addresses.length > 0) return addresses;
    // That a name has no address of one kind says least.
    const errors = answers.flatMap((got) => got.status === "rejected" ? [got.reason] : []);
    throw errors.find(({ code }) => code !== dns.NODATA) ?? errors[0] ?? new Error(`${name} has no address`);
  }

  /**
   * One resolver for each question: it reads resolv.conf anew, and is cancelled alone.
   * @param {"resolve4" | "resolve6"} kind
   * @param {string} name
   */
  async #ask(kind, name) {
    const resolver = new dns.promises.Resolver();
    this.#asking.add(resolver);
    try {
      for (let servers = resolver.getServers(); ; resolver.setServers(servers)) {
        try {
          return await resolver[kind](name);
        } catch (err) {
          servers = servers.slice(1);
          if (this.#ended || servers.length === 0 || !ofServer.has(/** @type {{code: string}} */ (err).code)) throw err;
        }
      }
    } finally {
      this.#asking.delete(resolver);
    }
  }
}

/**
 * Look-ups under way, of which a name has one at a time, however many wait for it.
 * @type {Map<string, {question: Question, answer: Promise<string[]>, waiting: number}>}
 */
const underWay = new Map();

/** @param {string} name */
function begin(name) {
  const question = new Question();
  const one = { question, answer: question.addresses(name), waiting: 0 };
  underWay.set(name, one);
  return one;
}

/**
 * Answers a name's addresses, as /etc/hosts or the name servers of /etc/resolv.conf say.
 * @param {string} name
 * @param {number} timeout after which nobody waits any more, in ms
 * @returns {Promise<string[]>} never empty
 */
export async function addressesOf(name, timeout) {
  const one = underWay.get(name) ?? begin(name);
  one.waiting++;
  let late = /** @type {NodeJS.Timeout | undefined} */ (undefined);
  try {
    return await Promise.race([one.answer, new Promise((_, reject) => {
      late = setTimeout(() => reject(new Error(`${name} is not resolved within ${timeout} ms`)), timeout);
    })]);
  } finally {
    clearTimeout(late);
    if (--one.waiting === 0) {
      // A later one asks anew: what was answered may have changed.
      underWay.delete(name);
      one.question.cancel();
    }
  }
}
