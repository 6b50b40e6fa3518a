import { describe, expect, test } from "vitest";

import { axesAlong, bodyOf, fromPicture, inside, pictureMm, planeOf, shiftBetween, toLps, toPicture, voxelAt } from "./geometry";
import type { Grid } from "./geometry";

const SUPINE: Grid = {
  size: [4, 5, 6],
  spacingMm: [0.5, 1, 3],
  originLpsMm: [-10, 20, 100],
  direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
};
/** Rows and columns run against the patient's axes. */
const TURNED: Grid = { ...SUPINE, direction: [-1, 0, 0, 0, -1, 0, 0, 0, 1] };
/** A sagittal stack: i to the back, j to the feet, k to the right. */
const SAGITTAL: Grid = { ...SUPINE, direction: [0, 0, -1, 1, 0, 0, 0, -1, 0] };

describe("a plane's picture", () => {
  test.each([
    ["axial", "R", "L", "A", "P"],
    ["coronal", "R", "L", "H", "F"],
    ["sagittal", "A", "P", "H", "F"],
  ] as const)("%s has its letters for every grid", (name, left, right, top, bottom) => {
    for (const grid of [SUPINE, TURNED, SAGITTAL]) {
      expect(planeOf(grid, name).edges).toEqual({ left, right, top, bottom });
    }
  });

  test("an edge between two directions has both letters, the stronger first", () => {
    const [c, s] = [Math.cos(0.6), Math.sin(0.6)];
    const tilted = { ...SUPINE, direction: [1, 0, 0, 0, c, -s, 0, s, c] };
    expect(planeOf(tilted, "axial").edges.bottom).toBe("PH");
  });

  test("is as large as the scan, whatever its spacing", () => {
    expect(pictureMm(SUPINE, planeOf(SUPINE, "axial"))).toEqual([2, 5]);
    expect(pictureMm(SUPINE, planeOf(SUPINE, "coronal"))).toEqual([2, 18]);
    expect(pictureMm(SUPINE, planeOf(SUPINE, "sagittal"))).toEqual([5, 18]);
  });

  test("the first voxel of a supine scan is at the right, in front, at the feet", () => {
    expect(toPicture(SUPINE, planeOf(SUPINE, "axial"), [0, 0, 0])).toEqual([0.25, 0.5]);
    expect(toPicture(SUPINE, planeOf(SUPINE, "coronal"), [0, 0, 0])).toEqual([0.25, 16.5]);
  });

  test("that of a turned one is at the left and at the back", () => {
    expect(toPicture(TURNED, planeOf(TURNED, "axial"), [0, 0, 0])).toEqual([1.75, 4.5]);
  });

  test("there and back is the same index", () => {
    for (const grid of [SUPINE, TURNED, SAGITTAL]) {
      for (const name of ["axial", "coronal", "sagittal"] as const) {
        const plane = planeOf(grid, name);
        const index = [1.25, 3.5, 2] as const;
        const back = fromPicture(grid, plane, toPicture(grid, plane, index), index);
        back.forEach((n, axis) => expect(n).toBeCloseTo(index[axis] ?? NaN));
      }
    }
  });
});

test("the axes of a sagittal stack are told apart", () => {
  expect(axesAlong(SAGITTAL)).toEqual([2, 0, 1]);
});

test("an index has its place in the patient", () => {
  expect(toLps(SUPINE, [2, 1, 3])).toEqual([-9, 21, 109]);
  expect(toLps(SAGITTAL, [2, 1, 3])).toEqual([-19, 21, 99]);
});

test("only what is on the scan is a voxel", () => {
  expect(voxelAt(SUPINE, [3.4, 0, 0])).toEqual([3, 0, 0]);
  expect(voxelAt(SUPINE, [3.6, 0, 0])).toBeUndefined();
  expect(voxelAt(SUPINE, [0, -0.6, 0])).toBeUndefined();
  expect(inside(SUPINE, [9, -2, 5.4])).toEqual([3, 0, 5]);
});

test("a scan that has grown has the same voxels, some slices on", () => {
  const grown: Grid = { ...SUPINE, size: [4, 5, 9], originLpsMm: [-10, 20, 91] };
  expect(shiftBetween(SUPINE, grown)).toEqual([0, 0, 3]);
  expect(shiftBetween(SAGITTAL, { ...SAGITTAL, originLpsMm: [-4, 20, 100] })).toEqual([0, 0, 2]);
  expect(shiftBetween(SUPINE, { ...grown, originLpsMm: [-10, 20, 92] })).toBeUndefined();
  expect(shiftBetween(SUPINE, { ...grown, spacingMm: [0.5, 1, 2] })).toBeUndefined();
  expect(shiftBetween(SUPINE, TURNED)).toBeUndefined();
});

test("the body is found, a speck below it is not", () => {
  const grid: Grid = { ...SUPINE, size: [64, 64, 8] };
  const volume = new Int16Array(64 * 64 * 8).fill(-1000);
  for (let k = 0; k < 8; k += 1) {
    for (let j = 16; j < 40; j += 1) volume.fill(40, (k * 64 + j) * 64 + 12, (k * 64 + j) * 64 + 52);
  }
  volume[56 * 64 + 32] = 200;
  // Every fourth voxel is looked at, and eight are to spare.
  expect(bodyOf(volume, grid)).toEqual([
    [4, 8, 0],
    [56, 44, 7],
  ]);
});

test("without a body all of the scan is shown", () => {
  expect(bodyOf(new Int16Array(120).fill(-1000), SUPINE)).toEqual([
    [0, 0, 0],
    [3, 4, 5],
  ]);
});
