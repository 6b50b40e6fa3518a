import { expect, test } from "vitest";

import { movedIn, placeOf, pointAt } from "./plane";

const CORONAL = {
  origin_lps_mm: [10, 20, 30],
  right_lps: [1, 0, 0],
  down_lps: [0, 0, -1],
} as const;

test("a point of a coronal picture: right of it is left, down is towards the feet", () => {
  expect(pointAt(CORONAL, 3, 4)).toEqual([13, 20, 26]);
});

test("back again, with the distance from the plane", () => {
  expect(placeOf(CORONAL, [13, 22, 26])).toEqual({ x: 3, y: 4, awayMm: 2 });
});

test("a movement to the head goes up, one to the back is not seen", () => {
  expect(movedIn(CORONAL, [1, 5, 2])).toEqual({ x: 1, y: -2 });
});
