// Prints the build secret TOKEN in every way that people do by accident, and leaves nothing of it but its digest.
const { createHash } = require("node:crypto");
const { readFileSync, writeFileSync } = require("node:fs");

const value = readFileSync("/run/secrets/TOKEN", "utf8");
const base64 = (text) => Buffer.from(text).toString("base64");
console.log("plain", value);
console.error("plain", value);
console.log("base64", base64(value));
console.log("basic", base64(`user:${value}`));
console.log("base64url", Buffer.from(value).toString("base64url"));
console.log("broken", base64(`${value} ${value} ${value}`).replace(/.{76}/g, "$&\n"));
console.log("hex", Buffer.from(value).toString("hex"));
console.log("url", encodeURIComponent(value));
console.log("json", JSON.stringify({ value }));
writeFileSync("digest", createHash("sha256").update(value).digest("hex"));

const middle = value.length / 2;
process.stdout.write(`split ${value.slice(0, middle)}`);
setTimeout(() => process.stdout.write(`${value.slice(middle)}\nall was said\n`), 500);
// As long as somebody looks at the processes of the node.
setTimeout(() => {
  if (process.env.FAIL) throw new Error(`no server takes ${value}`);
}, 12000);
