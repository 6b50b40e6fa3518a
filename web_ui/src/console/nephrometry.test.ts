import { expect, test } from "vitest";

import type { Nephrometry, NephrometryItem } from "../wire";
import { cmText, itemRows } from "./nephrometry";

const OPEN: NephrometryItem = {
  score: "RENAL",
  name: "L",
  points: null,
  at_least: null,
  letter: null,
  flag: null,
  figure: null,
  unit: null,
  computed_from: [],
  remark: "Polar lines are not contoured.",
};

function rows(...items: NephrometryItem[]): [string, string, string][] {
  const found: Nephrometry = { computed: true, axial_diameter_mm: 28, diameter_mm: 30, items };
  return itemRows(found, "RENAL").map((row) => [row.title, row.said, row.how]);
}

test("what could not be computed is open and says why", () => {
  const found: Nephrometry = { computed: true, axial_diameter_mm: 28, diameter_mm: 30, items: [OPEN] };
  const [row] = itemRows(found, "RENAL");
  expect(row).toMatchObject({ said: "open", open: true, how: "", remark: OPEN.remark });
  expect(itemRows(found, "ABLATE")).toEqual([]);
});

test("points, a bound, a letter, a flag", () => {
  const from = { computed_from: ["Tumour", "Kidney"] };
  expect(
    rows(
      { ...OPEN, name: "E", points: 2, figure: 0.413, unit: "fraction", ...from },
      { ...OPEN, name: "N", at_least: 3, figure: -1.25, unit: "mm", computed_from: ["Hilum"] },
      { ...OPEN, name: "A", letter: "p" },
      { ...OPEN, name: "h", flag: true },
      { ...OPEN, name: "h", flag: false },
    ),
  ).toEqual([
    ["E, exophytic", "2", "41 % from Tumour, Kidney"],
    ["N, nearness to collecting system or sinus", "at least 3", "−1.3 mm from Hilum"],
    ["A, anterior or posterior", "p", ""],
    ["h, touches main vessels", "suggested", ""],
    ["h, touches main vessels", "no", ""],
  ]);
});

test("an item of a newer service is named as it is", () => {
  expect(rows({ ...OPEN, name: "Q", points: 1 })).toEqual([["Q", "1", ""]]);
});

test("centimetres", () => expect(cmText(28.46)).toBe("2.8 cm"));
