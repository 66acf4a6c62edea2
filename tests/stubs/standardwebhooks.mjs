// Verifies signed messages with the library of the Standard Webhooks specification. Prints their types.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Webhook } = createRequire(`${process.argv[2]}/`)("standardwebhooks");
const { secret, messages } = JSON.parse(readFileSync(0, "utf8"));
for (const { headers, body } of messages) console.log(new Webhook(secret).verify(body, headers).type);
