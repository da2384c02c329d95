import { pino } from "pino";

/** One line of JSON for each thing worth telling; written before the process goes on. */
export const log = pino({ base: undefined, timestamp: pino.stdTimeFunctions.isoTime },
  pino.destination({ dest: 2, sync: true }));
