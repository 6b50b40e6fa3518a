import { expect, test } from "vitest";

import { currentScan, monitoringScans, progressOf } from "./scans";
import { at, measurement, PROCEDURE, SERIES } from "./testing";
import { waitingFor } from "./waiting";
import type { Measurement, Procedure, Series } from "./wire";

test("the newest measurement of a series takes the place of the older, in any order", () => {
  const provisional = measurement("b", -60, 1, 9);
  const final: Measurement = { ...measurement("b", -60, 2, 9), id: "later", published_at: at(-40) };
  for (const order of [
    [provisional, final],
    [final, provisional],
  ]) {
    const scans = monitoringScans([measurement("a", -200, 0, 9), ...order], "p");
    expect(scans.map(({ number, measurement: { id } }) => [number, id])).toEqual([
      [1, "m-a"],
      [2, "later"],
    ]);
  }
});

test("the current scan is the last acquired, not the last published", () => {
  const late: Measurement = { ...measurement("a", -200, 0, 9), published_at: at(0) };
  const scans = monitoringScans([measurement("b", -60, 1, 9), late], "p");
  expect(currentScan(scans)?.measurement.series_instance_uid).toBe("b");
});

test("another procedure's and withdrawn measurements are left out", () => {
  const other: Measurement = { ...measurement("a", -9, 1, 9), procedure_id: "q" };
  const withdrawn = [
    measurement("b", -60, 1, 9),
    { ...measurement("b", -60, 1, 9), id: "b2", role: "ignored" as const, published_at: at(0) },
  ];
  expect(monitoringScans([other, ...withdrawn], "p")).toEqual([]);
});

const PROGRESS = {
  procedure_id: "p",
  series_instance_uid: "c",
  received: 34,
  expected: 60,
  complete: false,
};

test("slices arriving are told with the number their scan will have", () => {
  const scans = monitoringScans([measurement("a", -60, 1, 9)], "p");
  expect(progressOf(PROGRESS, PROCEDURE, scans)).toEqual({
    text: "Scan 2 arriving: 34 of 60 slices",
    fraction: 34 / 60,
  });
  expect(progressOf({ ...PROGRESS, expected: null }, PROCEDURE, [])).toEqual({
    text: "Scan arriving: 34 slices",
    fraction: undefined,
  });
});

test("a complete series is told until it is measured, and only if it will be", () => {
  const scans = monitoringScans([measurement("a", -60, 1, 9)], "p");
  const complete = { ...PROGRESS, received: 60, complete: true };
  expect(progressOf(complete, PROCEDURE, scans)?.text).toBe("Scan 2: all slices here, measuring");
  expect(progressOf({ ...complete, series_instance_uid: "a" }, PROCEDURE, scans)).toBeUndefined();
  const planning = { ...series("planning"), series_instance_uid: "c" };
  expect(progressOf(complete, { ...PROCEDURE, series: [planning] }, [])).toBeUndefined();
  expect(progressOf(complete, { ...PROCEDURE, structures: [] }, [])).toBeUndefined();
});

function series(role: Series["role"]): Series {
  return { ...SERIES, series_instance_uid: String(role), role };
}

test("scans that are measured again are told of while none arrives", () => {
  const again: Procedure = { ...PROCEDURE, recomputing: { done: 3, total: 10 } };
  expect(progressOf(null, again, [])).toEqual({ text: "Measuring again: 3 of 10", fraction: 0.3 });
  expect(progressOf(null, PROCEDURE, [])).toBeUndefined();
  const slices = {
    procedure_id: "p",
    series_instance_uid: "new",
    received: 34,
    expected: 60,
    complete: false,
  };
  expect(progressOf(slices, again, [])?.text).toBe("Scan arriving: 34 of 60 slices");
});

test("what is waited for follows the procedure", () => {
  const bare: Procedure = { ...PROCEDURE, structures: [] };
  const hilumOnly = { ...PROCEDURE, structures: PROCEDURE.structures.slice(1), series: [series(null)] };
  expect([
    waitingFor(null, "tumour"),
    waitingFor({ ...bare, series: [series("ignored")] }, "tumour"),
    waitingFor({ ...bare, series: [series(null)] }, "hilum"),
    waitingFor(hilumOnly, "hilum"),
    waitingFor({ ...PROCEDURE, series: [series("planning")] }, "tumour"),
    waitingFor({ ...PROCEDURE, series: [series("planning"), series("baseline")] }, "tumour"),
  ]).toEqual([
    "Waiting for a patient's first scan",
    "Waiting for the planning scan",
    "Waiting for tumour and hilum contours",
    "Waiting for the tumour contour",
    "Waiting for the scan with needles in place",
    "Waiting for the first scan with ice",
  ]);
});
