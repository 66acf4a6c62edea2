// Validates an AsyncAPI document. Prints it in JSON, with all references resolved.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Parser } = createRequire(`${process.argv[2]}/`)("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[3], "utf8"));
const errors = diagnostics.filter((each) => each.severity === 0);
for (const each of errors) console.error(each.message, each.path.join("."));
if (!document || errors.length) process.exit(1);
console.log(JSON.stringify(document.json(), (key, value) => (key.startsWith("x-parser") ? undefined : value)));
