import { expect, test } from "vitest";

import { labelPlace, shaftBar } from "./shafts";

const DOWN = [
  [60, 80],
  [60, 20],
] as const;

test("a bar stands across the shaft at its tip", () => {
  expect(shaftBar(DOWN, 2)).toEqual([
    [58, 80],
    [62, 80],
  ]);
});

test("the number stands beyond the tip", () => {
  expect(labelPlace(DOWN, 4, 120)).toEqual([60, 84]);
});

test("the number of a tip outside stays in the picture", () => {
  expect(labelPlace([[60, 140], [60, 20]], 4, 120)).toEqual([60, 116]);
  expect(labelPlace([[-30, 60], [60, 60]], 4, 120)).toEqual([4, 60]);
});

test("one that is seen end on has a number below and no bar", () => {
  const end = [[60, 60], [60.2, 60]] as const;
  expect(shaftBar(end, 2)).toBeUndefined();
  expect(labelPlace(end, 4, 120)).toEqual([60, 64]);
});
