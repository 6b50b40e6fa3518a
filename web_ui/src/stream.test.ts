import { beforeEach, expect, test } from "vitest";

import { SILENCE_MS } from "./connection";
import { Stream } from "./stream";
import type { Loss, Socket } from "./stream";
import { at, LIMITS } from "./testing";

class FakeSocket implements Socket {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  closed = false;
  close(): void {
    this.closed = true;
  }
}

const CLOCK = { now: at(0), speed: 1, simulated: false };
const SNAPSHOT = {
  version: "v",
  clock: CLOCK,
  limits: LIMITS,
  procedure: null,
  measurements: [],
  alerts: [],
  scan_progress: null,
};

let sockets: FakeSocket[];
let waits: { ms: number; call: () => void }[];
let heard: string[];
let losses: (Loss | null)[];
let nowMs: number;
let stream: Stream;

function send(type: string, seq: number, data: unknown, run = "r"): void {
  sockets.at(-1)?.onmessage?.({ data: JSON.stringify({ type, seq, run, at: at(0), data }) });
}

function goLive(): void {
  send("snapshot", 7, SNAPSHOT);
}

beforeEach(() => {
  sockets = [];
  waits = [];
  heard = [];
  losses = [];
  nowMs = 0;
  stream = new Stream(
    {
      open: () => {
        sockets.push(new FakeSocket());
        return sockets.at(-1)!;
      },
      monotonicMs: () => nowMs,
      after: (ms, call) => {
        waits.push({ ms, call });
        return () => undefined;
      },
    },
    {
      message: (message) => heard.push(message.type),
      connection: (_, loss) => losses.push(loss),
    },
  );
  stream.start();
});

test("live from the snapshot on, and each next message is handed on", () => {
  expect(stream.state).toBe("connecting");
  goLive();
  send("heartbeat", 8, CLOCK);
  send("heartbeat", 9, CLOCK);
  expect(stream.state).toBe("live");
  expect(heard).toEqual(["snapshot", "heartbeat", "heartbeat"]);
});

test.each<[string, Loss, () => void]>([
  ["a gap in seq", "gap", () => send("heartbeat", 9, CLOCK)],
  ["a repeated seq", "gap", () => send("heartbeat", 7, CLOCK)],
  ["another run", "other_run", () => send("heartbeat", 8, CLOCK, "other")],
  ["no JSON", "invalid", () => sockets.at(-1)?.onmessage?.({ data: "{" })],
  ["an unknown type", "invalid", () => send("gossip", 8, {})],
  ["a wrong field", "invalid", () => send("heartbeat", 8, { ...CLOCK, speed: "fast" })],
  ["a closed socket", "closed", () => sockets.at(-1)?.onclose?.()],
  ["sleep", "silence", () => stream.slept()],
])("%s is a loss, and what was wrong is not handed on", (_, loss, cause) => {
  goLive();
  cause();
  expect(stream.state).toBe("lost");
  expect(losses).toEqual([null, loss]);
  expect(heard).toEqual(["snapshot"]);
  expect(sockets[0]?.closed || loss === "closed").toBe(true);
});

test("three seconds of silence are a loss, a moment less is not", () => {
  goLive();
  nowMs = SILENCE_MS - 1;
  stream.checkSilence();
  expect(stream.state).toBe("live");
  nowMs = SILENCE_MS;
  stream.checkSilence();
  expect(losses.at(-1)).toBe("silence");
});

test("a first message that is no snapshot is a loss", () => {
  send("heartbeat", 1, CLOCK);
  expect(losses).toEqual(["invalid"]);
});

test("lost until a fresh snapshot, trying ever less often but at least each 5 s", () => {
  goLive();
  for (let attempt = 0; attempt < 6; attempt += 1) {
    sockets.at(-1)?.onclose?.();
    expect(stream.state).toBe("lost");
    waits.at(-1)?.call();
  }
  expect(waits.map(({ ms }) => ms)).toEqual([500, 1000, 2000, 4000, 5000, 5000]);
  send("snapshot", 1, SNAPSHOT, "another run of the server");
  expect(stream.state).toBe("live");
  sockets.at(-1)?.onclose?.();
  expect(waits.at(-1)?.ms).toBe(500);
});

test("a dropped socket is not heard any more", () => {
  goLive();
  const first = sockets[0]!;
  const late = first.onmessage;
  sockets[0]?.onclose?.();
  expect(late).not.toBeNull();
  expect(first.onmessage).toBeNull();
});

test("fields that a newer service adds do not break an older page", () => {
  goLive();
  send("heartbeat", 8, { ...CLOCK, leap: 0 });
  expect(stream.state).toBe("live");
});
