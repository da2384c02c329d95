import assert from "node:assert/strict";
import test from "node:test";

import { publicKey, SecretError, sign, signingKeys } from "../sign.js";
import { golden } from "./golden.js";

const g = golden("signatures");

for (const c of g.signatures) {
  test("signatures are the golden ones: " + c.name, () => {
    assert.deepEqual(sign(signingKeys(c.secrets), c.message_id, c.timestamp * 1000, Buffer.from(c.body)), c.headers);
  });
}

test("a public key is the golden one of its seed", () => {
  assert.ok(g.public_keys.length > 0);
  for (const { secret, public_key } of g.public_keys) {
    assert.equal("whpk_" + publicKey(signingKeys([secret])[0]).toString("base64"), public_key);
  }
});

test("a secret that cannot be read stops the webhook and is not shown", () => {
  for (const secret of ["", "whsec_", "whsec_!hunter2!", "hunter2", "whsk_", "whsk_aHVudGVyMg==",
    // 32 bytes that are not the public key of the 32 before.
    "whsk_" + Buffer.alloc(64).toString("base64"), "whpk_" + Buffer.alloc(32).toString("base64")]) {
    assert.throws(() => signingKeys(["whsec_aHVudGVyMg==", secret]), (/** @type {Error} */ err) =>
      err instanceof SecretError && !err.message.includes("hunter2"), secret);
  }
});
