import { describe, expect, test } from "vitest";

import { planeOf } from "./geometry";
import type { Grid } from "./geometry";
import { Mask } from "./mask";
import { greys, outline, patchOf } from "./slices";

const GRID: Grid = {
  size: [3, 2, 4],
  spacingMm: [1, 1, 2],
  originLpsMm: [0, 0, 0],
  direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
};
const TURNED: Grid = { ...GRID, direction: [-1, 0, 0, 0, -1, 0, 0, 0, 1] };
const WINDOW = { levelHu: 40, widthHu: 400 };
/** Each voxel's HU is its own number. */
const VOLUME = Int16Array.from({ length: 24 }, (_, n) => n);

/** The HU that a picture shows, row by row. */
function shown(grid: Grid, name: "axial" | "coronal" | "sagittal", slice: number): number[][] {
  // A window one HU per grey: the grey is the number.
  const { width, height, pixels } = greys(VOLUME, grid, planeOf(grid, name), slice, {
    levelHu: 127.5,
    widthHu: 255,
  });
  return Array.from({ length: height }, (_, row) =>
    Array.from({ length: width }, (_, column) => (pixels[row * width + column] ?? 0) & 255),
  );
}

describe("a slice's picture", () => {
  test("has each voxel in its place", () => {
    expect(shown(GRID, "axial", 1)).toEqual([
      [6, 7, 8],
      [9, 10, 11],
    ]);
    expect(shown(GRID, "coronal", 1)).toEqual([
      [21, 22, 23],
      [15, 16, 17],
      [9, 10, 11],
      [3, 4, 5],
    ]);
    expect(shown(GRID, "sagittal", 2)).toEqual([
      [20, 23],
      [14, 17],
      [8, 11],
      [2, 5],
    ]);
  });

  test("also where the grid runs against the patient's axes", () => {
    expect(shown(TURNED, "axial", 0)).toEqual([
      [5, 4, 3],
      [2, 1, 0],
    ]);
  });

  test("is black below the window, white above, opaque", () => {
    const volume = new Int16Array(24).fill(-160);
    volume[1] = 240;
    volume[2] = 41;
    const { pixels } = greys(volume, GRID, planeOf(GRID, "axial"), 0, WINDOW);
    expect([...pixels.slice(0, 3)]).toEqual([0xff000000, 0xffffffff, 0xff808080]);
  });
});

describe("a mask in a slice", () => {
  /** Two voxels of the second slice: (1, 0) and (1, 1). */
  const mask = Mask.of([1, 0, 1], [1, 2, 1], new Uint8Array([1, 1]));

  test("lies on its own voxels, at its own depth, and nowhere else", () => {
    for (const grid of [GRID, TURNED]) {
      const plane = planeOf(grid, "axial");
      expect(patchOf(mask, grid, plane, 0)).toBeUndefined();
      expect(patchOf(mask, grid, plane, 2)).toBeUndefined();
      expect(patchOf(mask, grid, plane, 1)).toMatchObject({ left: 1, top: 0, width: 1, height: 2 });
    }
    // The second slice from the feet is the third from the top.
    expect(patchOf(mask, GRID, planeOf(GRID, "coronal"), 1)).toMatchObject({ left: 1, top: 2 });
    expect(patchOf(mask, GRID, planeOf(GRID, "sagittal"), 1)).toMatchObject({ left: 0, top: 2 });
    expect(patchOf(mask, GRID, planeOf(GRID, "sagittal"), 0)).toBeUndefined();
  });

  test("at the other side of a turned grid", () => {
    const first = Mask.of([0, 0, 0], [1, 1, 1], new Uint8Array([1]));
    expect(patchOf(first, TURNED, planeOf(TURNED, "axial"), 0)).toMatchObject({ left: 2, top: 1 });
  });
});

test("the outline of one pixel is the diamond round its centre", () => {
  const found = outline({ left: 4, top: 6, width: 1, height: 1, inside: new Uint8Array([1]) });
  expect(found).toHaveLength(4);
  for (const [u0, v0, u1, v1] of found) {
    expect(Math.abs(u0 - 4.5) + Math.abs(v0 - 6.5)).toBeCloseTo(0.5);
    expect(Math.abs(u1 - 4.5) + Math.abs(v1 - 6.5)).toBeCloseTo(0.5);
  }
});

test("an outline is closed: each of its points ends two pieces", () => {
  const inside = Uint8Array.from("0110111001110100", Number);
  const ends = new Map<string, number>();
  for (const [u0, v0, u1, v1] of outline({ left: 0, top: 0, width: 4, height: 4, inside })) {
    for (const point of [`${u0},${v0}`, `${u1},${v1}`]) ends.set(point, (ends.get(point) ?? 0) + 1);
  }
  expect(ends.size).toBeGreaterThan(8);
  expect([...ends.values()].every((n) => n === 2)).toBe(true);
});
