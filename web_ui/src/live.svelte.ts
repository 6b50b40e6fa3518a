/** The page's one store: what the stream says, how the connection is, and the running time. */

import { serverNow } from "./age";
import type { ConnectionState } from "./connection";
import { monitoringScans } from "./scans";
import { after } from "./situation";
import type { Situation } from "./situation";
import { Stream } from "./stream";
import type { Loss, Socket } from "./stream";

const TICK_MS = 250;

/** The two clocks of this computer drift apart by this much only when it slept. */
const SLEPT_MS = 2000;

function streamAddress(): string {
  const address = new URL("/api/v1/stream", window.location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return address.href;
}

export class Live {
  connection = $state<ConnectionState>("connecting");
  loss = $state<Loss | null>(null);
  /** Monotonic time of the first loss and of the next attempt. */
  lostAtMs = $state<number | null>(null);
  retryAtMs = $state<number | null>(null);
  /** Nothing at all while there is no live data: what isn't held can't be shown as current. */
  situation = $state.raw<Situation | null>(null);
  /** Monotonic milliseconds, several times a second. */
  tickMs = $state(performance.now());

  readonly nowMs = $derived(
    this.situation ? serverNow(this.situation.heardClock, this.tickMs) : Number.NaN,
  );
  readonly procedure = $derived(this.situation?.procedure ?? null);
  readonly scans = $derived(
    monitoringScans(this.situation?.measurements ?? [], this.situation?.procedure?.id),
  );

  private firstVersion: string | null = null;

  /** Starts listening; the answer stops it. */
  start(): () => void {
    const stream = new Stream(
      {
        open: () => new WebSocket(streamAddress()) as Socket,
        monotonicMs: () => performance.now(),
        after: (waitMs, call) => {
          const timer = window.setTimeout(call, waitMs);
          return () => window.clearTimeout(timer);
        },
      },
      {
        message: (message) => {
          this.tickMs = performance.now();
          this.situation = after(this.situation, message, this.tickMs);
          if (message.type === "snapshot") this.reloadAfterUpdate(message.data.version);
        },
        connection: (state, loss, retryInMs) => {
          const now = performance.now();
          this.connection = state;
          this.loss = loss;
          this.retryAtMs = retryInMs === null ? null : now + retryInMs;
          this.tickMs = now;
          if (state === "lost") {
            this.lostAtMs ??= now;
            this.situation = null;
          } else {
            this.lostAtMs = null;
          }
        },
      },
    );
    let wallMs = Date.now();
    let tickedMs = performance.now();
    const timer = window.setInterval(() => {
      const monotonic = performance.now();
      const wall = Date.now();
      const slept = wall - wallMs - (monotonic - tickedMs) > SLEPT_MS;
      wallMs = wall;
      tickedMs = monotonic;
      this.tickMs = monotonic;
      if (slept) stream.slept();
      else stream.checkSilence();
    }, TICK_MS);
    stream.start();
    return () => {
      window.clearInterval(timer);
      stream.stop();
    };
  }

  /** A page left open over an update of the service fetches itself anew. */
  private reloadAfterUpdate(version: string): void {
    this.firstVersion ??= version;
    if (version !== this.firstVersion) window.location.reload();
  }
}
