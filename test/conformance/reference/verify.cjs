// Prints whether the reference library accepts each request of the file, a line each.
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

for (const { secret, headers, body } of JSON.parse(require("node:fs").readFileSync(process.argv[2], "utf8"))) {
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64"), headers);
    console.log(true);
  } catch (err) {
    if (!(err instanceof WebhookVerificationError)) throw err;
    console.log(false);
  }
}
