import fs from "node:fs";

/** The files that hold workers of every language to the same. @param {string} name */
export const golden = (name) => JSON.parse(fs.readFileSync(new URL(`../../../../test/golden/${name}.json`, import.meta.url), "utf8"));
