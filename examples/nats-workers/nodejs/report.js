/**
 * What report is told about one try, or about a row that was published again.
 * The body of a success is never told, nor a payload unless the database asks
 * for it; traceparent goes with the payload. started becomes started_ms_ago when the report leaves.
 * The members stand as jsonb keeps them, by length and then by letter, so that Postgres has nothing to sort.
 * @typedef {{try: number, path: string, error?: string, answer?: string, result: string, status: number | null,
 *   payload?: string, queue_id?: number, message_id: string, redelivery: number, webhook_id: number,
 *   duration_ms: number, traceparent?: string, retry_after_ms?: number, started: number}} Attempt
 */

/**
 * @param {import("./event.js").Event} e
 * @param {import("./deliver.js").Outcome} o
 * @returns {Attempt}
 */
export function newAttempt(e, o) {
  return {
    try: e.try,
    path: e.path,
    error: o.error || undefined,
    answer: o.answer || undefined,
    result: o.result,
    status: o.status || null,
    queue_id: e.queueID || undefined,
    message_id: e.messageID,
    redelivery: e.redelivery,
    webhook_id: e.webhookID,
    duration_ms: Math.round(o.duration * 1000) / 1000,
    retry_after_ms: o.retryAfter || undefined,
    started: o.started,
  };
}
