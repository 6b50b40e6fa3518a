import { expect, test } from "vitest";

import { measurement, notAssessable, PROCEDURE } from "../testing";
import { rowOf } from "./scanRow";

const SCAN = measurement("a", -60, 2.39, 4.96);

test("figures are rounded towards danger, the hilum's is the hilum's", () => {
  const row = rowOf({ ...SCAN, elapsed_freeze_s: 330.9 }, PROCEDURE);
  expect(row).toEqual({
    phase: "Freeze 05:30",
    margin: { mm: "2.3", interval: "1.4 to 3.2 mm" },
    hilum: { mm: "4.9", interval: "4.0 to 5.8 mm" },
    state: "Final",
    why: "",
    review: "",
  });
});

test("without figures there are none, and why", () => {
  const row = rowOf({ ...notAssessable("a", -60, "Moved."), phase: null }, PROCEDURE);
  expect([row.margin, row.hilum, row.state, row.why, row.phase]).toEqual([
    undefined,
    undefined,
    "NOT ASSESSABLE",
    "Moved.",
    "no phase",
  ]);
});

test.each([
  ["not_assessable", "rejected", "REJECTED"],
  ["provisional", "recomputing", "MEASURING AGAIN"],
  ["provisional", "incomplete", "PROVISIONAL"],
] as const)("%s because of %s is %s", (assessment, code, state) => {
  expect(rowOf({ ...SCAN, assessment, reasons: [{ code, text: "" }] }, PROCEDURE).state).toBe(state);
});
