import { decode } from "./wire.js";

/** A message that was read from the stream past a backlog. It is settled when the consumer delivers it. */
export class Early {
  /**
   * @param {string} stream
   * @param {any} read as the library answers it
   * @param {(sequence: number, ms: number) => void} again
   * @param {string | undefined} made when the stream was
   */
  constructor(stream, read, again, made) {
    this.stream = stream;
    this.made = made;
    this.sequence = read.seq;
    this.time = read.time.getTime();
    this.data = read.data;
    /** As they are: the library's own reader changes some. */
    this.headers = decode(Buffer.from(read.smr.message.hdrs ?? "", "base64"));
    this.again = again;
  }

  /** Without a time it is left to the consumer. @param {number} [ms] */
  nak(ms = 0) {
    if (ms > 0) this.again(this.sequence, ms);
  }

  inProgress() {}
}
