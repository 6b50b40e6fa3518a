import { describe, expect, test } from "vitest";

import { at, measurement, notAssessable, PROCEDURE, SERIES } from "../testing";
import type { Procedure, Series } from "../wire";
import { baselines, correctionText, isNowhere, movedText, NOWHERE, seriesNames, STEPS, sum, within } from "./redo";

describe("a movement in patient directions", () => {
  test.each([
    [[0, 0, 0], "not moved"],
    [[2, 0, 0], "2 mm to L"],
    [[-1, -3, 0], "1 mm to R, 3 mm to A"],
    [[0, 1.5, -4], "1.5 mm to P, 4 mm to F"],
    [[0, 0, 1], "1 mm to H"],
  ] as const)("%j is %s", (mm, text) => expect(movedText(mm)).toBe(text));

  test("each step is a millimetre, and there is one back", () => {
    const all = STEPS.reduce((total, step) => sum(total, step.by), NOWHERE);
    expect(isNowhere(all)).toBe(true);
    expect(movedText(STEPS[1]!.by)).toBe("1 mm to L");
  });

  test("has a bound", () => {
    expect(within([50, -50, 0])).toBe(true);
    expect(within([0, 50.5, 0])).toBe(false);
  });
});

function series(uid: string, acquiredS: number, role: Series["role"], more = {}): Series {
  const description = `kidney ${uid}`;
  return { ...SERIES, series_instance_uid: uid, description, role, acquired_at: at(acquiredS), ...more };
}

const SCANS = [
  { number: 1, measurement: { ...notAssessable("no ice", -400, "none"), reasons: [{ code: "no_ice", text: "" }] } },
  { number: 2, measurement: measurement("ice", -300, 1, 2) },
  { number: 3, measurement: measurement("now", -100, 1, 2) },
];

const WITH_SERIES: Procedure = {
  ...PROCEDURE,
  series: [
    series("now", -100, "monitoring"),
    series("ice", -300, "monitoring"),
    series("no ice", -400, "monitoring"),
    series("base", -500, "baseline"),
    series("plan", -900, "planning"),
    series("later", -50, "ignored"),
    series("scout", -950, "ignored", { status: "stored" }),
    series("contours", -800, null, { modality: "RTSTRUCT", status: "stored" }),
  ],
};

test("a scan is compared with an earlier volume without ice", () => {
  const found = baselines(WITH_SERIES, SCANS, SCANS[2]!.measurement);
  expect(found.map((one) => one.series_instance_uid)).toEqual(["plan", "base", "no ice"]);
});

test("what a scan was measured with is said by the names that people know", () => {
  const nameOf = seriesNames(WITH_SERIES, SCANS);
  const none = { baseline_series_instance_uid: null, seed_lps_mm: null, nudge_mm: null };
  expect(correctionText(none, nameOf)).toBeUndefined();
  const all = {
    baseline_series_instance_uid: "plan",
    seed_lps_mm: [1, 2, 3],
    nudge_mm: [0, 0, 2],
  } as const;
  expect(correctionText(all, nameOf)).toBe(
    "compared with the planning scan (kidney plan), ice grown from a point, " +
      "contours moved 2 mm to H",
  );
  expect(nameOf("ice")).toBe("scan 2");
});
