import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";

import { refusal } from "../address.js";
import { ConfigError, readConfig } from "../config.js";
import { version } from "../version.js";

/** @param {string[]} pairs */
function environment(...pairs) {
  /** @type {Record<string, string>} */
  const env = { DATABASE_URL: "postgres://worker:hunter2@localhost/app" };
  for (let i = 0; i < pairs.length; i += 2) env[pairs[i]] = pairs[i + 1];
  return env;
}

test("defaults are the documented ones", () => {
  const c = readConfig(environment());
  assert.deepEqual(c.nats?.servers, ["127.0.0.1:4222"]);
  assert.deepEqual([c.stream, c.group, c.subject, c.batch], ["WEBHOOKS", "webhook-workers", "webhooks.>", 64]);
  assert.ok(c.consumer && c.doStream && c.doQueue && c.allow.length === 0 && c.proxy === undefined);
  assert.deepEqual([c.metrics, c.logJSON, c.logLevel], [undefined, false, "info"]);
});

test("a queue worker needs no NATS", () => {
  const c = readConfig(environment("WORKER_SOURCES", "queue"));
  assert.ok(c.nats === undefined && !c.doStream);
});

test("DATABASE_URL takes URLs and key=value pairs", () => {
  const pairs = readConfig(environment("DATABASE_URL", "host=/run/pg port=5433 user=worker password='a b\\'+%c' dbname='my app'")).database;
  assert.deepEqual([pairs.host, pairs.port, pairs.user, pairs.password, pairs.database], ["/run/pg", 5433, "worker", "a b'+%c", "my app"]);
  const url = readConfig(environment()).database;
  assert.deepEqual([url.host, url.user, url.password, url.database], ["localhost", "worker", "hunter2", "app"]);
});

test("a URL of the database may hold what is escaped", () => {
  for (const url of [
    "postgres://u:p%40ss%2F%3F%23@h:5433/app?application_name=a@b&search_path=rules",
    "postgresql://u%40srv:p@h:5433/app%40?sslmode=disable",
    "postgres:///app?host=/run/pg&port=5433&user=u@srv&password=p%23/",
    "host=h port=5433 dbname=a@b password='a/b?c#d'",
  ]) assert.equal(readConfig(environment("DATABASE_URL", url)).database.port, 5433, url);
});

test("what is nobody's setting here is for the server to judge", () => {
  const options = (/** @type {string} */ url) => readConfig(environment("DATABASE_URL", url)).database.options;
  assert.equal(options("postgres://h/d?sslmod=x&search_path=a%20b%5C&options=-c%20jit%3Doff"), "-c jit=off -c sslmod=x -c search_path=a\\ b\\\\");
  assert.equal(options("host=h rule_engine.publish=off dbname=d"), "-c rule_engine.publish=off");
  assert.equal(options("postgres://h/d?sslmode=disable&pool_max_conns=4&default_query_exec_mode=exec&connect_timeout=5"), undefined);
});

const notPEM = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "config-")), "ca.pem");
fs.writeFileSync(notPEM, "no certificate");
test.after(() => fs.rmSync(path.dirname(notPEM), { recursive: true }));

test("a wrong configuration is one line that names the variable", () => {
  const digits = "12345678"; // a password that looks like a port
  for (const [named, ...pairs] of [
    ["DATABASE_URL", "DATABASE_URL", ""],
    ["DATABASE_URL", "DATABASE_URL", "postgres://u:hunter2%zz@h/d"],
    ["DATABASE_URL", "DATABASE_URL", "host=h password=hunter2 port=many"],
    ["DATABASE_URL", "DATABASE_URL", "hunter2"],
    ["DATABASE_URL", "DATABASE_URL", "postgres://u:hunter2@h/d?sslrootcert=/no/such/file&sslmode=verify-full"],
    ["DATABASE_URL", "DATABASE_URL", "postgres://h/x?sslmode=verify_full"],
    ["DATABASE_URL", "DATABASE_URL", "postgres://u:12@hunter2@h/d"],
    ["DATABASE_URL", "DATABASE_URL", "postgres://u:12/hunter2@h/d"],
    ["DATABASE_URL", "DATABASE_URL", "postgres://u:12?hunter2@h/d"],
    ["DATABASE_URL", "DATABASE_URL", "postgresql://u:12#hunter2@h/d"],
    ["NATS_URL", "NATS_URL", "http://h:4222"],
    ["NATS_URL", "NATS_URL", "hunter2://h:4222"],
    ["NATS_URL", "NATS_URL", "u:hunter2://x@h:4222"],
    ["NATS_URL", "NATS_URL", "nats://u:hunter2"],
    ["NATS_URL", "NATS_URL", "nats://u:" + digits],
    ["NATS_URL", "NATS_URL", "u:" + digits],
    ["NATS_URL", "NATS_URL", "nats://h:4222,u:" + digits + "/"],
    ["NATS_URL", "NATS_URL", "nats://u:12/hunter2@h:4222"],
    ["NATS_URL", "NATS_URL", "nats://u:12?hunter2@h:4222"],
    ["NATS_URL", "NATS_URL", "nats://u:12#hunter2@h:4222"],
    ["NATS_URL", "NATS_URL", "ws://h:8080"],
    ["NATS_URL", "NATS_URL", "nats://u:hunter2@"],
    ["NATS_URL", "NATS_URL", "nats://a:4222,nats://"],
    ["NATS_URL", "NATS_URL", ","],
    ["NATS_URL", "NATS_URL", "nats://h:99999"],
    ["NATS_URL", "NATS_URL", "nats://a:4222,nats://u:hunter2@h:0"],
    ["NATS_PASS", "NATS_USER", "u"],
    ["NATS_USER", "NATS_PASS", "hunter2"],
    ["NATS_TOKEN", "NATS_TOKEN", "hunter2", "NATS_USER", "u", "NATS_PASS", "p"],
    ["NATS_CREDS", "NATS_CREDS", "/no/such/file"],
    ["NATS_CREDS", "NATS_CREDS", "hunter2"],
    ["NATS_NKEY_SEED_FILE", "NATS_NKEY_SEED_FILE", "hunter2"],
    ["NATS_CA", "NATS_CA", "hunter2"],
    ["NATS_CERT", "NATS_CERT", "hunter2", "NATS_KEY", "hunter2"],
    ["NATS_CREDS", "NATS_CREDS", notPEM],
    ["NATS_NKEY_SEED_FILE", "NATS_NKEY_SEED_FILE", notPEM],
    ["NATS_CA", "NATS_CA", "/no/such/file"],
    ["NATS_CA", "NATS_CA", notPEM],
    ["NATS_KEY", "NATS_CERT", "/c"],
    ["NATS_CERT", "NATS_KEY", "/k"],
    ["NATS_CERT", "NATS_CERT", notPEM, "NATS_KEY", notPEM],
    ["STREAM_NAME", "STREAM_NAME", "a.b"],
    ["STREAM_NAME", "STREAM_NAME", "a b"],
    ["STREAM_NAME", "STREAM_NAME", "a\uFFFD"],
    ["STREAM_NAME", "STREAM_NAME", "s".repeat(256)],
    ["QUEUE_GROUP", "QUEUE_GROUP", "a*"],
    ["QUEUE_GROUP", "QUEUE_GROUP", "a/b"],
    ["QUEUE_GROUP", "QUEUE_GROUP", "a\u200b"],
    ["SUBJECT", "SUBJECT", "a..b"],
    ["SUBJECT", "SUBJECT", "a.>.b"],
    ["SUBJECT", "SUBJECT", "a.b*"],
    ["SUBJECT", "SUBJECT", "a b"],
    ["CONSUMER_NAME", "CONSUMER_NAME", "a\nb"],
    ["CONSUMER_NAME", "CONSUMER_NAME", " a"],
    ["CONSUMER_NAME", "CONSUMER_NAME", "a\u00a0"],
    ["BATCH_SIZE", "BATCH_SIZE", "0"],
    ["BATCH_SIZE", "BATCH_SIZE", "1001"],
    ["BATCH_SIZE", "BATCH_SIZE", "many"],
    ["WEBHOOK_ALLOW_NETWORKS", "WEBHOOK_ALLOW_NETWORKS", "10.0.0.0"],
    ["WEBHOOK_ALLOW_NETWORKS", "WEBHOOK_ALLOW_NETWORKS", "10.0.0.0/8;::1/128"],
    ["WEBHOOK_ALLOW_NETWORKS", "WEBHOOK_ALLOW_NETWORKS", "::ffff:0:0/95"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "https://u:hunter2@h:3128"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "socks5://u:hunter2@h:1080"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "u:hunter2@h:3128"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "hunter2:3128"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http:u:hunter2@h:3128"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2@"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:12/hunter2@h:3128"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:12?hunter2@h:3128"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:12#hunter2@h:3128"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2%zz@h:3128"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2@h:0"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2@h:65536"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:hunter2@h h:3128"],
    ["WEBHOOK_PROXY", "WEBHOOK_PROXY", "http://u:" + digits],
    ["WORKER_SOURCES", "WORKER_SOURCES", "stream;queue"],
    ["METRICS_ADDR", "METRICS_ADDR", "9464"],
    ["METRICS_ADDR", "METRICS_ADDR", "::1:9464"],
    ["METRICS_ADDR", "METRICS_ADDR", "127.0.0.1:http"],
    ["METRICS_ADDR", "METRICS_ADDR", ":70000"],
    ["LOG_FORMAT", "LOG_FORMAT", "xml"],
    ["LOG_LEVEL", "LOG_LEVEL", "loud"],
  ]) {
    assert.throws(() => readConfig(environment(...pairs)), (/** @type {Error} */ err) => {
      assert.ok(err instanceof ConfigError, String(err));
      assert.ok(err.message.startsWith(named + ": "), `"${err.message}" must name ${named} first`);
      assert.doesNotMatch(err.message, /\n.|hunter2|12345678/);
      return true;
    }, pairs.join(" "));
  }
});

test("a network of mapped addresses opens them as IPv4", () => {
  const { allow } = readConfig(environment("WEBHOOK_ALLOW_NETWORKS", "::ffff:10.0.0.0/104, ::ffff:7f00:1/128,::/0"));
  for (const address of ["10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "::1"]) assert.equal(refusal(address, allow), undefined, address);
  for (const address of ["127.0.0.2", "::ffff:172.16.0.1"]) assert.ok(refusal(address, allow), address);
});

test("a proxy has an address and credentials", () => {
  for (const [text, host, port] of [["http://proxy.corp:3128", "proxy.corp", 3128], ["HTTP://proxy.corp/", "proxy.corp", 80], [" http://[::1]:3128/ ", "::1", 3128]]) {
    const { proxy } = readConfig(environment("WEBHOOK_PROXY", String(text), "HTTP_PROXY", "http://another:1"));
    assert.deepEqual([proxy?.host, proxy?.port, proxy?.headers["Proxy-Authorization"]], [host, port, undefined]);
  }
  for (const [text, credentials] of [["http://u:p%40%2F%3A@h:1", "Basic dTpwQC86"], ["http://u@h:1", "Basic dTo="], ["http://u:p@ss@h:1", "Basic dTpwQHNz"],
    ["http://u%FF:p@h:1", "Basic df86cA=="]]) {
    assert.equal(readConfig(environment("WEBHOOK_PROXY", text)).proxy?.headers["Proxy-Authorization"], credentials);
  }
});

test("names may have any letters, and a consumer spaces", () => {
  const c = readConfig(environment("CONSUMER_NAME", "Wörker 1", "QUEUE_GROUP", "größe-1", "NATS_URL", "a:1, b:65535,"));
  assert.deepEqual([c.consumer, c.nats?.servers], ["Wörker 1", ["a:1", "b:65535"]]);
});

test("the version is the package's", () => {
  assert.equal(JSON.parse(fs.readFileSync(new URL("../package.json", import.meta.url), "utf8")).version, version);
});

test("a monitor's address without a host is loopback", () => {
  for (const [addr, host] of [[":9464", "127.0.0.1"], ["0.0.0.0:9464", "0.0.0.0"], ["[::1]:9464", "::1"]]) {
    assert.deepEqual(readConfig(environment("METRICS_ADDR", addr)).metrics, { host, port: 9464 });
  }
});
