import { expect, test } from "vitest";

import { faceOf } from "./figure";
import { monitoringScans } from "./scans";
import { at, LIMITS, measurement, NOON_MS, notAssessable, PROCEDURE, SERIES } from "./testing";
import type { Measurement } from "./wire";

function face(subject: "tumour" | "hilum", ...measurements: Measurement[]) {
  return faceOf(subject, monitoringScans(measurements, "p"), PROCEDURE, LIMITS, NOON_MS);
}

test("value, interval, age and scan number of the last scan", () => {
  expect(face("tumour", measurement("a", -200, 1, 9), measurement("b", -42, 2.48, 8))).toMatchObject({
    kind: "value",
    mm: "2.4",
    interval: "1.5 to 3.3 mm",
    age: "42 s ago",
    scanNumber: 2,
    old: false,
    level: "near",
    state: "BELOW 5 mm TARGET",
  });
});

test("the hilum is told by its kind, not by its name or place", () => {
  expect(face("hilum", measurement("a", -42, 2, 8.26))).toMatchObject({ mm: "8.2", level: "clear" });
});

test("a limit inside the interval is not passed for sure", () => {
  expect(face("hilum", measurement("a", -42, 2, 5.5))).toMatchObject({ level: "unsure" });
  expect(face("tumour", measurement("a", -42, 5.9, 9))).toMatchObject({ level: "clear" });
});

test("negative numbers get words", () => {
  const scan = measurement("a", -42, -0.25, -0.31);
  expect(face("tumour", scan)).toMatchObject({
    mm: "−0.3",
    sentence: "tumour NOT covered by 0.3 mm",
    level: "breach",
  });
  expect(face("hilum", scan)).toMatchObject({ sentence: "ice OVERLAPS hilum by 0.4 mm" });
});

test("past its age limit a value is old and nothing says all right", () => {
  const fresh = face("tumour", measurement("a", -240, 9, 9));
  const old = face("tumour", measurement("a", -241, 9, 9));
  expect(fresh).toMatchObject({ old: false, level: "clear" });
  expect(old).toMatchObject({ old: true, level: undefined, state: "" });
});

test("a scan from the future has no age and counts as old", () => {
  expect(face("tumour", measurement("a", 30, 9, 9))).toMatchObject({
    old: true,
    age: "age unknown",
    reason: "the scanner's clock runs ahead",
  });
});

test("provisional is said, with its reason, and is never all right", () => {
  const provisional: Measurement = {
    ...measurement("a", -42, 9, 2),
    assessment: "provisional",
    reasons: [{ code: "x", text: "58 of 60 slices" }],
  };
  expect(face("tumour", provisional)).toMatchObject({
    provisional: true,
    level: undefined,
    reason: "58 of 60 slices",
  });
  expect(face("hilum", provisional)).toMatchObject({ level: "near" });
});

test("a scan that is not assessable shows its reason, and the last value only as such", () => {
  const shown = face(
    "tumour",
    measurement("a", -180, 2.18, 9),
    notAssessable("b", -30, "moved too far"),
  );
  expect(shown).toEqual({
    kind: "reason",
    title: "NOT ASSESSABLE",
    reason: "moved too far",
    age: "30 s ago",
    scanNumber: 2,
    last: "last measured 2.1 mm, 3 min ago (scan 1)",
  });
});

test("without the hilum's contour its figure says so beside a measured margin", () => {
  const procedure = { ...PROCEDURE, structures: PROCEDURE.structures.slice(0, 1) };
  const scans = monitoringScans([measurement("a", -42, 2, 9)], "p");
  const series = [
    { ...SERIES, series_instance_uid: "a", role: "monitoring" as const, acquired_at: at(-42) },
  ];
  const shown = faceOf("hilum", scans, { ...procedure, series }, LIMITS, NOON_MS);
  expect(shown).toMatchObject({ title: "NOT MEASURED", reason: "Waiting for the hilum contour" });
});

test("what a person has done about a scan is said beside its figures", () => {
  const scan = measurement("a", -42, 6, 9);
  const by = { by: "console", at: at(-10) };
  const correction = {
    ...by,
    baseline_series_instance_uid: null,
    seed_lps_mm: null,
    nudge_mm: [1, 0, 0] as [number, number, number],
    note: "",
  };
  expect(face("tumour", scan)).toMatchObject({ said: undefined });
  expect(face("tumour", { ...scan, correction })).toMatchObject({ said: "corrected by hand" });
  const review = { ...by, verdict: "approved" as const, reason: "" };
  expect(face("hilum", { ...scan, review })).toMatchObject({ said: "approved" });
  expect(face("hilum", { ...scan, review, correction })).toMatchObject({
    said: "corrected by hand, approved",
  });
});
