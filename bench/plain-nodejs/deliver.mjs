// The plainest worker in Node.js: consumes a stream, posts each message, N at once, acks and waits for the answer.
//   node deliver.mjs N URL NATS STREAM GROUP
import { createRequire } from "node:module";

// With the libraries of the worker that it is compared with.
const require = createRequire(new URL("../../examples/nats-workers/nodejs/package.json", import.meta.url));
const { connect } = require("@nats-io/transport-node");
const { AckPolicy, jetstream, jetstreamManager } = require("@nats-io/jetstream");
const { Agent, request } = require("undici");

const [n, url, servers, stream, group] = process.argv.slice(2);
const atOnce = Number(n);
const dispatcher = new Agent({ connections: atOnce });

async function deliver(message) {
  try {
    const headers = { "content-type": "application/json" };
    const { statusCode, body } = await request(url, { method: "POST", headers, body: message.data, dispatcher });
    await body.dump();
    if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    await message.ackAck();
  } catch (err) {
    console.error("plain:", err);
    message.nak();
  }
}

const nc = await connect({ servers });
await (await jetstreamManager(nc)).consumers.add(stream, {
  durable_name: group, filter_subject: "webhooks.>", ack_policy: AckPolicy.Explicit,
});
const consumer = await jetstream(nc).consumers.get(stream, group);
let running = 0;
let ended = () => {};
for await (const message of await consumer.consume({ max_messages: atOnce })) {
  running++;
  deliver(message).finally(() => {
    running--;
    ended();
  });
  while (running >= atOnce) await new Promise((resolve) => { ended = resolve; });
}
