/** What is reported to the database. */
export const version = "0.2.0";

export const userAgent = "rule_engine-webhook-worker/" + version;
