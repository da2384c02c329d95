import { headersOf } from "./wire.js";

/** A message of the stream, as JetStream's consumers deliver it, and the ways to settle it. */
export class Message {
  /**
   * @param {import("./acks.js").Acks} acks of the connection that it came over
   * @param {import("@nats-io/transport-node").Msg} msg
   * @param {string} made when its stream was
   */
  constructor(acks, msg, made) {
    this.acks = acks;
    this.msg = msg;
    this.made = made;
    this.reply = msg.reply ?? "";
    // $JS.ACK.[domain.account.]stream.consumer.deliveries.sequence.consumer sequence.ns.pending[.token]
    const tokens = this.reply.split(".");
    const from = tokens.length > 9 ? 4 : 2;
    const [stream = "", , deliveries, sequence, , stamp, pending] = tokens.slice(from);
    this.stream = stream;
    this.deliveries = Number(deliveries ?? 0);
    this.sequence = Number(sequence ?? 0);
    /** When the stream took it, in ms since 1970 on the server's clock. */
    this.time = Number(BigInt(stamp ?? 0) / 1_000_000n);
    this.pending = Number(pending ?? 0);
  }

  get data() {
    return this.msg.data;
  }

  get headers() {
    return headersOf(this.msg);
  }

  /**
   * Waits for the server's answer, which closes the window in which a lost ack
   * makes the message come back.
   */
  doubleAck() {
    return this.acks.ack(this.reply);
  }

  /** A lost one is made good by the ack wait. @param {number} [ms] */
  nak(ms = 0) {
    this.#say(ms > 0 ? `-NAK {"delay": ${Math.round(ms) * 1_000_000}}` : "-NAK");
  }

  inProgress() {
    this.#say("+WPI");
  }

  /** @param {string} word */
  #say(word) {
    const { nc } = this.acks;
    if (!nc.isClosed()) nc.publish(this.reply, word);
  }
}
