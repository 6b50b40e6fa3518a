import { expect, test } from "vitest";

import { ageSeconds, ageText, clockText, heard, scanAgeSeconds, serverNow } from "./age";
import { at, measurement, NOON_MS } from "./testing";

test("between heartbeats the server's clock runs on at its own speed", () => {
  const clock = heard({ now: at(0), speed: 20, simulated: true }, 1000);
  expect(serverNow(clock, 1500)).toBe(NOON_MS + 10_000);
});

test("an age is the server's time less the acquisition's, whatever the offset", () => {
  expect(ageSeconds("2026-03-02T12:59:00+01:00", NOON_MS)).toBe(60);
});

test.each([
  [-6, "age unknown"],
  [-2, "0 s ago"],
  [42.9, "42 s ago"],
  [60, "1 min ago"],
  [200, "3 min 20 s ago"],
  [725, "12 min ago"],
  [3900, "1 h 5 min ago"],
])("%d s reads %s", (seconds, text) => {
  expect(ageText(seconds)).toBe(text);
});

test("running clock", () => {
  expect([clockText(252), clockText(3852)]).toEqual(["04:12", "1:04:12"]);
});

test("a scan's age is by the service's clock", () => {
  const scan = { ...measurement("a", 3540, 1, 9), last_slice_received_at: at(-40) };
  expect(scanAgeSeconds({ ...scan, clock_offset_s: 3600 }, NOON_MS)).toBe(60);
});

test("a scan that came before it was acquired has no age, however long ago that is", () => {
  const scan = { ...measurement("a", -100, 1, 9), last_slice_received_at: at(-200) };
  expect(ageText(scanAgeSeconds(scan, NOON_MS))).toBe("age unknown");
});
