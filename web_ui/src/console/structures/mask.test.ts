import { expect, test } from "vitest";

import type { Grid } from "./geometry";
import { Mask } from "./mask";

const GRID: Grid = {
  size: [40, 30, 20],
  spacingMm: [1, 1, 1],
  originLpsMm: [0, 0, 0],
  direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
};

function bar(): Mask {
  const mask = new Mask();
  mask.include({ low: [5, 6, 7], high: [9, 6, 7] }, GRID);
  mask.fillRow(5, 9, 6, 7, 1);
  return mask;
}

test("what is inside is told, counted, and bounded", () => {
  const mask = bar();
  expect(mask.count).toBe(5);
  expect([mask.has(4, 6, 7), mask.has(5, 6, 7), mask.has(9, 6, 7), mask.has(5, 7, 7)]).toEqual([
    false,
    true,
    true,
    false,
  ]);
  expect(mask.bounds()).toEqual({ low: [5, 6, 7], high: [9, 6, 7] });
});

test("it grows to what comes, within the scan, and keeps what it had", () => {
  const mask = bar();
  mask.include({ low: [38, 28, 19], high: [39, 29, 19] }, GRID);
  mask.fillRow(38, 39, 29, 19, 1);
  expect(mask.count).toBe(7);
  expect(mask.bounds()).toEqual({ low: [5, 6, 7], high: [39, 29, 19] });
  expect(mask.has(7, 6, 7)).toBe(true);
  expect(mask.origin.every((n) => n >= 0)).toBe(true);
  expect(mask.origin.map((n, axis) => n + (mask.size[axis] ?? 0))).toEqual([40, 30, 20]);
});

test("the same voxel twice counts once, and can be taken away again", () => {
  const mask = bar();
  mask.fillRow(8, 9, 6, 7, 1);
  expect(mask.count).toBe(5);
  mask.fillRow(5, 9, 6, 7, 0);
  expect(mask.count).toBe(0);
  expect(mask.bounds()).toBeUndefined();
  expect(mask.trimmed().data.length).toBe(0);
});

test("a copy is another mask", () => {
  const mask = bar();
  mask.clone().fillRow(5, 9, 6, 7, 0);
  expect(mask.count).toBe(5);
});

test("trimmed, it has the same voxels in the smallest box", () => {
  const mask = bar().trimmed();
  expect([mask.origin, mask.size, mask.count]).toEqual([[5, 6, 7], [5, 1, 1], 5]);
});

test("a box of another size is refused", () => {
  expect(() => Mask.of([0, 0, 0], [2, 2, 2], new Uint8Array(7))).toThrow("another size");
});
