/** Keeps one websocket to the stream and tells its owner what came and how the connection is. */

import { backOffMs, next, SILENCE_MS } from "./connection";
import type { ConnectionEvent, ConnectionState } from "./connection";
import { InvalidMessage, parseServerMessage } from "./wire";
import type { ServerMessage } from "./wire";

export type Loss = Exclude<ConnectionEvent, "snapshot" | "message">;

/** The part of a browser's WebSocket that is used here. */
export interface Socket {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  close(): void;
}

export interface Surroundings {
  open(): Socket;
  /** Monotonic milliseconds. */
  monotonicMs(): number;
  /** Calls back once after a wait; the answer cancels it. */
  after(waitMs: number, call: () => void): () => void;
}

export interface Listener {
  message(message: ServerMessage): void;
  /** Called on every change, and again on every failed attempt while lost. */
  connection(state: ConnectionState, loss: Loss | null, retryInMs: number | null): void;
}

export class Stream {
  state: ConnectionState = "connecting";
  private socket: Socket | null = null;
  private last: { run: string; seq: number } | null = null;
  private lastHeardMs = 0;
  private attempt = 0;
  private cancelWait: (() => void) | null = null;

  constructor(
    private readonly around: Surroundings,
    private readonly listener: Listener,
  ) {}

  start(): void {
    this.connect();
  }

  stop(): void {
    this.cancelWait?.();
    this.drop();
  }

  /** To be called a few times a second, and at once when the page knows it slept. */
  checkSilence(): void {
    if (this.socket && this.around.monotonicMs() - this.lastHeardMs >= SILENCE_MS) {
      this.lose("silence");
    }
  }

  /** The computer slept or the clock jumped: nothing shown can be trusted. */
  slept(): void {
    if (this.socket) this.lose("silence");
  }

  private connect(): void {
    this.last = null;
    this.lastHeardMs = this.around.monotonicMs();
    let socket: Socket;
    try {
      socket = this.around.open();
    } catch {
      this.lose("closed");
      return;
    }
    this.socket = socket;
    socket.onmessage = (event) => this.hear(event.data);
    socket.onclose = () => this.lose("closed");
  }

  private hear(data: unknown): void {
    let message: ServerMessage;
    try {
      message = parseServerMessage(data);
    } catch (error) {
      if (!(error instanceof InvalidMessage)) throw error;
      console.error("invalid message from the stream:", error.message);
      this.lose("invalid");
      return;
    }
    const event = this.eventOf(message);
    if (event !== "snapshot" && event !== "message") {
      this.lose(event);
      return;
    }
    this.last = { run: message.run, seq: message.seq };
    this.lastHeardMs = this.around.monotonicMs();
    this.state = next(this.state, event);
    this.listener.message(message);
    if (event === "snapshot") {
      this.attempt = 0;
      this.listener.connection(this.state, null, null);
    }
  }

  private eventOf(message: ServerMessage): ConnectionEvent {
    if (this.last === null) return message.type === "snapshot" ? "snapshot" : "invalid";
    if (message.run !== this.last.run) return "other_run";
    if (message.seq !== this.last.seq + 1) return "gap";
    return message.type === "snapshot" ? "invalid" : "message";
  }

  private lose(event: Loss): void {
    this.drop();
    this.state = next(this.state, event);
    const wait = backOffMs(this.attempt);
    this.attempt += 1;
    this.listener.connection(this.state, event, wait);
    this.cancelWait = this.around.after(wait, () => this.connect());
  }

  /** After this nothing more is heard from the socket, even if its close is slow. */
  private drop(): void {
    if (!this.socket) return;
    this.socket.onmessage = null;
    this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }
}
