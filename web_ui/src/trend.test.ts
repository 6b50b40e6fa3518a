import { expect, test } from "vitest";

import { monitoringScans } from "./scans";
import { at, measurement, NOON_MS, notAssessable, PROCEDURE } from "./testing";
import { spread, trendOf } from "./trend";
import type { Measurement } from "./wire";

test("minutes count from the start of the first freeze; a gap where nothing was measured", () => {
  const first: Measurement = { ...measurement("a", -480, -2, 9), elapsed_freeze_s: 120 };
  const scans = monitoringScans([first, notAssessable("b", -300, "x"), measurement("c", -120, 1, 7)], "p");
  const trend = trendOf(scans, PROCEDURE, NOON_MS);
  expect(trend?.origin).toBe("first freeze");
  expect(trend?.minutes).toEqual([2, 5, 8]);
  expect(trend?.margin.value).toEqual([-2, null, 1]);
  expect(trend?.hilum.low).toEqual([8.1, null, 6.1]);
  expect(trend?.notAssessable).toEqual([5]);
});

test("phases are shaded as far as they are known, the current one up to now", () => {
  const frozen = (name: string, acquiredS: number, elapsed: number): Measurement => ({
    ...measurement(name, acquiredS, 1, 9),
    elapsed_freeze_s: elapsed,
  });
  const thawing: Measurement = { ...measurement("c", -600, 1, 9), phase: "thaw" };
  const scans = monitoringScans(
    [frozen("a", -1080, 120), frozen("b", -840, 360), thawing, frozen("d", -180, 120)],
    "p",
  );
  const phase = { procedure_id: "p", phase: "freeze" as const, since: at(-300), cycle: 2 };
  const trend = trendOf(scans, { ...PROCEDURE, phase }, NOON_MS);
  expect(trend?.bands).toEqual([
    { phase: "freeze", fromMin: 0, toMin: 6 },
    { phase: "thaw", fromMin: 10, toMin: 15 },
    { phase: "freeze", fromMin: 15, toMin: 20 },
  ]);
});

test("labels that would collide are set apart round their middle, inside the chart", () => {
  expect(spread([50, 52], 10, 0, 100)).toEqual([46, 56]);
  expect(spread([52, 50, 90], 10, 0, 100)).toEqual([56, 46, 90]);
  expect(spread([1, 2], 10, 5, 100)).toEqual([5, 15]);
  expect(spread([99, 98, 97], 10, 0, 100)).toEqual([100, 90, 80]);
});
