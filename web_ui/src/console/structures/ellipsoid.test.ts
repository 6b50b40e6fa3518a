import { describe, expect, test } from "vitest";

import { moved, rasterised, roundMask, stretched, withEnd } from "./ellipsoid";
import type { Ellipsoid } from "./ellipsoid";
import type { Grid } from "./geometry";
import { Mask } from "./mask";

const GRID: Grid = {
  size: [120, 120, 60],
  spacingMm: [0.5, 0.5, 2],
  originLpsMm: [0, 0, 0],
  direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
};
const EGG: Ellipsoid = { centre: [60, 60, 30], radiiMm: [10, 12, 16] };

function volumeOf(mask: Mask): number {
  return mask.count * 0.5;
}

test("its voxels have its volume", () => {
  const truth = (4 / 3) * Math.PI * 10 * 12 * 16;
  expect(volumeOf(rasterised(GRID, EGG)) / truth).toBeCloseTo(1, 2);
});

test("outside the scan there is nothing of it", () => {
  expect(rasterised(GRID, { ...EGG, centre: [-50, 60, 30] }).count).toBe(0);
  const half = rasterised(GRID, { ...EGG, centre: [-0.5, 60, 30] });
  expect(half.count / rasterised(GRID, EGG).count).toBeCloseTo(0.5, 2);
});

test("the box round it is it again", () => {
  const found = roundMask(GRID, rasterised(GRID, EGG));
  expect(found?.centre).toEqual([60, 60, 30]);
  EGG.radiiMm.forEach((radius, axis) => {
    const off = Math.abs((found?.radiiMm[axis] ?? NaN) - radius);
    expect(off).toBeLessThan(GRID.spacingMm[axis] ?? NaN);
  });
  expect(roundMask(GRID, new Mask())).toBeUndefined();
});

describe("a handle", () => {
  test("draws its end, and the end across stays", () => {
    // From 80 to 90 along i is 5 mm more; the other end is at 40.
    const drawn = withEnd(GRID, EGG, 0, 1, 90);
    expect(drawn.radiiMm).toEqual([12.5, 12, 16]);
    expect(drawn.centre).toEqual([65, 60, 30]);
    const other = withEnd(GRID, EGG, 2, -1, 18);
    expect(other.radiiMm).toEqual([10, 12, 20]);
    expect(other.centre).toEqual([60, 60, 28]);
  });

  test("does not turn it inside out", () => {
    expect(withEnd(GRID, EGG, 0, 1, 0).radiiMm[0]).toBe(1.5);
  });

  test("in the middle moves it", () => {
    expect(moved(EGG, [3, -2, 1])).toEqual({ ...EGG, centre: [63, 58, 31] });
  });
});

describe("what was painted", () => {
  const painted = rasterised(GRID, EGG);
  const frame = roundMask(GRID, painted) as Ellipsoid;

  test("is the same when nothing is stretched", () => {
    expect(stretched(GRID, painted, frame, frame).count).toBe(painted.count);
  });

  test("grows in proportion", () => {
    const to = { ...frame, radiiMm: [frame.radiiMm[0] * 1.5, frame.radiiMm[1], frame.radiiMm[2]] as const };
    expect(stretched(GRID, painted, frame, to).count / painted.count).toBeCloseTo(1.5, 1);
  });

  test("moves as it is", () => {
    const to = moved(frame, [5, 0, -2]);
    const found = stretched(GRID, painted, frame, to);
    expect(found.count).toBe(painted.count);
    expect(found.has(65, 60, 28)).toBe(true);
    expect(roundMask(GRID, found)?.centre).toEqual([65, 60, 28]);
  });
});
