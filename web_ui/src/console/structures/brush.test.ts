import { expect, test } from "vitest";

import { along, paintBall } from "./brush";
import type { Grid } from "./geometry";
import { Mask } from "./mask";

const GRID: Grid = {
  size: [100, 100, 40],
  spacingMm: [0.8, 0.8, 3],
  originLpsMm: [0, 0, 0],
  direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
};
const VOXEL_MM3 = 0.8 * 0.8 * 3;

test("a ball has the volume of a ball, across slices", () => {
  const mask = new Mask();
  paintBall(mask, GRID, [50.3, 49.8, 20.4], 12, 1);
  const volume = mask.count * VOXEL_MM3;
  expect(volume / ((4 / 3) * Math.PI * 12 ** 3)).toBeCloseTo(1, 1);
  expect(mask.bounds()).toEqual({ low: [36, 35, 17], high: [65, 64, 24] });
});

test("a voxel is inside when its centre is", () => {
  const mask = new Mask();
  paintBall(mask, GRID, [10, 10, 10], 0.9, 1);
  expect(mask.count).toBe(5);
  expect([mask.has(11, 10, 10), mask.has(11, 11, 10), mask.has(10, 10, 11)]).toEqual([
    true,
    false,
    false,
  ]);
});

test("the same ball erased leaves nothing; a smaller one leaves a shell", () => {
  const mask = new Mask();
  paintBall(mask, GRID, [50, 50, 20], 12, 1);
  const all = mask.count;
  paintBall(mask, GRID, [50, 50, 20], 6, 0);
  expect(mask.has(50, 50, 20)).toBe(false);
  expect(mask.has(64, 50, 20)).toBe(true);
  expect(mask.count).toBeLessThan(all);
  paintBall(mask, GRID, [50, 50, 20], 12, 0);
  expect(mask.count).toBe(0);
});

test("at the scan's edge it is cut off; erasing where nothing is does nothing", () => {
  const mask = new Mask();
  paintBall(mask, GRID, [0, 99, 0], 10, 1);
  expect(mask.bounds()).toEqual({ low: [0, 87, 0], high: [12, 99, 3] });
  paintBall(mask, GRID, [90, 10, 30], 10, 0);
  paintBall(new Mask(), GRID, [50, 50, 20], 10, 0);
  expect(mask.bounds()).toEqual({ low: [0, 87, 0], high: [12, 99, 3] });
});

test("a stroke has no gaps, and ends where the pointer is", () => {
  const places = along(GRID, [0, 0, 0], [30, 0, 0], 6);
  expect(places).toHaveLength(12);
  expect(places.at(-1)).toEqual([30, 0, 0]);
  expect(places[0]?.[0]).toBeCloseTo(2.5);
});

test("thousands of voxels a dab stay far below a frame", () => {
  const grid: Grid = { ...GRID, size: [512, 512, 100] };
  const mask = new Mask();
  const begin = performance.now();
  for (let n = 0; n < 100; n += 1) paintBall(mask, grid, [200 + n, 250, 50], 15, 1);
  expect((performance.now() - begin) / 100).toBeLessThan(8);
});
