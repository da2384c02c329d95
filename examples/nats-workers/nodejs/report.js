/**
 * What report is told about one try, or about a row that was published again.
 * The body of a success is never told, nor a payload unless the database asks
 * for it; traceparent goes with the payload. started becomes started_ms_ago when the report leaves.
 * @typedef {{path: string, queue_id: number | null, webhook_id: number, message_id: string, redelivery: number,
 *   try: number, result: string, status: number | null, duration_ms: number, error: string | null,
 *   answer: string | null, retry_after_ms?: number, stream: string | null, sequence: number | null,
 *   payload?: string, traceparent?: string, started: number}} Attempt
 */

/**
 * @param {import("./event.js").Event} e
 * @param {import("./deliver.js").Outcome} o
 * @returns {Attempt}
 */
export function newAttempt(e, o) {
  return {
    path: e.path,
    queue_id: e.queueID || null,
    webhook_id: e.webhookID,
    message_id: e.messageID,
    redelivery: e.redelivery,
    try: e.try,
    result: o.result,
    status: o.status || null,
    duration_ms: Math.round(o.duration * 1000) / 1000,
    error: o.error || null,
    answer: o.answer || null,
    retry_after_ms: o.retryAfter || undefined,
    stream: e.stream || null,
    sequence: e.stream ? e.sequence : null,
    started: o.started,
  };
}
