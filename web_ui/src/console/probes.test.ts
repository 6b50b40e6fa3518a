import { expect, test } from "vitest";

import type { Probe, Probes } from "../wire";
import { countText, probeRows, spacingWarning } from "./probes";

function probe(number: number, tumourMm: number): Probe {
  return {
    id: `probe-${number}`,
    number,
    series_instance_uid: "1.2",
    late: false,
    tip_lps_mm: [0, 0, 0],
    direction: [0, 0, 1],
    planning_tip_lps_mm: [0, 0, 0],
    planning_direction: [0, 0, 1],
    visible_length_mm: 90,
    tumour_distance_mm: tumourMm,
    inside_tumour_mm: tumourMm < 0 ? 21.4 : 0,
  };
}

const PROBES: Probes = {
  found: [probe(1, -8.6), probe(2, 2.4), probe(4, -3)],
  removed: [],
  spacings: [
    { numbers: [1, 2], zones_mm: 13.6, tips_mm: 15, neighbours: true },
    { numbers: [1, 4], zones_mm: 24.1, tips_mm: 30, neighbours: false },
    { numbers: [2, 4], zones_mm: 22.2, tips_mm: 24, neighbours: true },
  ],
  usual_spacing_mm: [10, 20],
};

test("each probe with its nearest neighbour", () => {
  const rows = probeRows(PROBES).map((row) => [row.tumour, row.spacing, row.warning]);
  expect(rows).toEqual([
    ["in it, up to 9 mm deep, over 21 mm", "14 mm to 2", undefined],
    ["passes it at 2 mm", "14 mm to 1", undefined],
    ["in it, up to 3 mm deep, over 21 mm", "22 mm to 2", "wider than 20 mm: the ice may leave a gap"],
  ]);
});

test("a single probe has no neighbour and no warning", () => {
  const [row] = probeRows({ ...PROBES, found: [probe(1, -8)], spacings: [] });
  expect([row?.spacing, row?.warning]).toEqual([undefined, undefined]);
});

test.each([
  [9.9, "nearer than 10 mm"],
  [10, undefined],
  [20, undefined],
  [20.1, "wider than 20 mm: the ice may leave a gap"],
])("%d mm", (mm, text) => expect(spacingWarning(mm, [10, 20])).toBe(text));

test("how many there are", () => {
  expect(countText(PROBES)).toBe("3 probes");
  const removed = [{ probe: probe(3, 1), by: "console", at: "2026-03-02T12:00:00Z" }];
  expect(countText({ ...PROBES, found: [probe(1, 0)], removed })).toBe("1 probe, 1 taken out");
  expect(countText({ ...PROBES, found: [] })).toBe("No probe");
});
