import { expect, test } from "vitest";

import { monitoringScans } from "./scans";
import { at, measurement, NOON_MS, notAssessable, PROCEDURE } from "./testing";
import { spread, trendOf } from "./trend";
import type { Phase } from "./wire";

const pressed = (name: Phase["phase"], sinceS: number, cycle: number): Phase => ({
  procedure_id: "p",
  phase: name,
  since: at(sinceS),
  cycle,
  pressed_at: at(sinceS),
});

test("minutes count from the press of the first freeze; a gap where nothing was measured", () => {
  const scans = monitoringScans(
    [measurement("a", -480, -2, 9), notAssessable("b", -300, "x"), measurement("c", -120, 1, 7)],
    "p",
  );
  const trend = trendOf(scans, { ...PROCEDURE, phases: [pressed("freeze", -600, 1)] }, NOON_MS);
  expect(trend?.origin).toBe("first freeze");
  expect(trend?.minutes).toEqual([2, 5, 8]);
  expect(trend?.margin.value).toEqual([-2, null, 1]);
  expect(trend?.hilum.low).toEqual([8.1, null, 6.1]);
  expect(trend?.notAssessable).toEqual([5]);
});

test("each phase is shaded from its press to the next one, the last up to now", () => {
  const phases = [pressed("freeze", -1200, 1), pressed("thaw", -780, 1), pressed("freeze", -300, 2)];
  const scans = monitoringScans([measurement("a", -1080, 1, 9)], "p");
  const trend = trendOf(scans, { ...PROCEDURE, phases }, NOON_MS);
  expect(trend?.bands).toEqual([
    { phase: "freeze", fromMin: 0, toMin: 7 },
    { phase: "thaw", fromMin: 7, toMin: 15 },
    { phase: "freeze", fromMin: 15, toMin: 20 },
  ]);
});

test("a pause is not shaded, and without a press minutes count from the first scan", () => {
  const scans = monitoringScans([measurement("a", -600, 1, 9)], "p");
  const idle = trendOf(scans, { ...PROCEDURE, phases: [pressed("idle", -900, 0)] }, NOON_MS);
  expect([idle?.origin, idle?.bands]).toEqual(["first scan", []]);
  expect(trendOf(scans, PROCEDURE, NOON_MS)?.minutes).toEqual([0]);
});

test("a scan is where it was acquired by the service's clock", () => {
  const ahead = { ...measurement("a", 3120, 1, 9), clock_offset_s: 3600 };
  const trend = trendOf(
    monitoringScans([ahead], "p"),
    { ...PROCEDURE, phases: [pressed("freeze", -600, 1)] },
    NOON_MS,
  );
  expect(trend?.minutes).toEqual([2]);
});

test("labels that would collide are set apart round their middle, inside the chart", () => {
  expect(spread([50, 52], 10, 0, 100)).toEqual([46, 56]);
  expect(spread([52, 50, 90], 10, 0, 100)).toEqual([56, 46, 90]);
  expect(spread([1, 2], 10, 5, 100)).toEqual([5, 15]);
  expect(spread([99, 98, 97], 10, 0, 100)).toEqual([100, 90, 80]);
});
