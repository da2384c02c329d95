import { sleep } from "./context.js";
import { said } from "./text.js";

// Bounds one round of maintenance: a day of history that a database has collected
// without any takes its time.
const maintainTimeout = 10 * 60_000;

/**
 * Asks the database to maintain itself until the signal ends. The database
 * decides whether that is due; of several workers the first to ask does it.
 * @param {import("./worker.js").Worker} w
 * @param {AbortSignal} signal
 */
export async function maintain(w, signal) {
  for (;;) {
    let wait = 60_000;
    try {
      wait = await w.db.tryCall(signal, "maintain", maintainTimeout, async (schema, query) =>
        (await query(`SELECT ${schema}.rule_worker_maintain($1) AS ms`, [w.db.consumer]))[0].ms);
    } catch (err) {
      if (signal.aborted) return;
      w.upkeep.say("cannot maintain the database", said(err));
    }
    if (!await sleep(signal, wait)) return;
  }
}
