import { expect, test } from "vitest";

import { rasterised } from "./ellipsoid";
import type { Grid } from "./geometry";
import { Mask } from "./mask";
import { greatestDiameterMm, volumeMl } from "./measures";

const GRID: Grid = {
  size: [128, 128, 64],
  spacingMm: [0.8, 0.8, 2],
  originLpsMm: [0, 0, 0],
  direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
};

test("one voxel is as long as its longest side", () => {
  const mask = Mask.of([3, 4, 5], [1, 1, 1], new Uint8Array([1]));
  expect(volumeMl(GRID, mask)).toBeCloseTo(0.00128);
  expect(greatestDiameterMm(GRID, mask)).toBeCloseTo(2);
});

test("a row of voxels is measured from outer face to outer face", () => {
  const mask = Mask.of([0, 0, 0], [10, 1, 1], new Uint8Array(10).fill(1));
  expect(greatestDiameterMm(GRID, mask)).toBeCloseTo(8);
});

test("of an egg it is the long axis, however it lies", () => {
  for (const radiiMm of [
    [20, 10, 12],
    [10, 20, 12],
    [10, 12, 20],
  ] as const) {
    const mask = rasterised(GRID, { centre: [64, 64, 32], radiiMm });
    expect(Math.abs(greatestDiameterMm(GRID, mask) - 40)).toBeLessThanOrEqual(2.001);
    expect(volumeMl(GRID, mask) / ((4 / 3) * Math.PI * 2.4)).toBeCloseTo(1, 1);
  }
});

test("of two parts it reaches from one to the other", () => {
  const data = new Uint8Array(50);
  data[0] = data[49] = 1;
  expect(greatestDiameterMm(GRID, Mask.of([0, 0, 0], [50, 1, 1], data))).toBeCloseTo(40);
});

test("of nothing it is nothing", () => {
  expect(greatestDiameterMm(GRID, new Mask())).toBe(0);
});
