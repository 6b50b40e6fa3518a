import { describe, expect, test } from "vitest";

import type { Axis, Grid, Triple } from "./geometry";
import { Mask } from "./mask";
import { MOST_PLACES, outlineOf, shifted, solid, withOutline, withSlice } from "./outlines";
import type { Outline, Outlines } from "./outlines";

const GRID: Grid = {
  size: [100, 100, 40],
  spacingMm: [0.8, 0.5, 2],
  originLpsMm: [0, 0, 0],
  direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
};
const VOXEL_MM3 = 0.8 * 0.5 * 2;

function circle(through: Axis, middleMm: readonly [number, number], radiusMm: number): Outline {
  const [u, v] = through === 0 ? [1, 2] : through === 1 ? [0, 2] : [0, 1];
  const line = Array.from({ length: 300 }, (_, n): Triple => {
    const turn = (2 * Math.PI * n) / 300;
    const at: [number, number, number] = [0, 0, 0];
    at[u as Axis] = (middleMm[0] + radiusMm * Math.cos(turn)) / GRID.spacingMm[u as Axis];
    at[v as Axis] = (middleMm[1] + radiusMm * Math.sin(turn)) / GRID.spacingMm[v as Axis];
    return at;
  });
  const outline = outlineOf(GRID, through, line);
  if (!outline) throw new Error("nothing");
  return outline;
}

function made(...slices: readonly (readonly [number, Outline])[]): Outlines {
  return slices.reduce<Outlines | null>(
    (all, [slice, outline]) => withOutline(all, 2, slice, outline),
    null,
  ) as Outlines;
}

function areaMm2(mask: Mask, k: number): number {
  let count = 0;
  for (let j = 0; j < GRID.size[1]; j += 1) {
    for (let i = 0; i < GRID.size[0]; i += 1) count += mask.has(i, j, k) ? 1 : 0;
  }
  return count * 0.8 * 0.5;
}

describe("one outline", () => {
  test("fills its slice, in each plane", () => {
    for (const through of [0, 1, 2] as const) {
      const mask = solid(GRID, withOutline(null, through, 20, circle(through, [30, 30], 12)));
      const thick = GRID.spacingMm[through];
      expect((mask.count * VOXEL_MM3) / thick / (Math.PI * 144)).toBeCloseTo(1, 1);
      const box = mask.bounds();
      expect([box?.low[through], box?.high[through]]).toEqual([20, 20]);
    }
  });

  test("has few places, however slowly it was drawn", () => {
    const outline = circle(2, [30, 30], 12);
    expect(outline.length).toBeLessThanOrEqual(MOST_PLACES + 1);
    expect(outline.length).toBeGreaterThan(MOST_PLACES / 2);
  });

  test("may be drawn either way round, and cross itself at its end", () => {
    const outline = circle(2, [30, 30], 12);
    const back = [...outline].reverse();
    const twice = [...outline, ...outline.slice(0, 20)];
    const counts = [outline, back, twice].map((one) => solid(GRID, made([20, one])).count);
    expect(new Set(counts).size).toBe(1);
  });

  test("round nothing is none", () => {
    expect(outlineOf(GRID, 2, [])).toBeUndefined();
    expect(outlineOf(GRID, 2, [[10, 10, 3]])).toBeUndefined();
    expect(outlineOf(GRID, 2, [[10, 10, 3], [60, 60, 3], [11, 11, 3]])).toBeUndefined();
  });

  test("is cut off where the scan ends", () => {
    const mask = solid(GRID, made([20, circle(2, [0, 25], 10)]));
    expect((mask.count * VOXEL_MM3) / 2 / ((Math.PI * 100) / 2)).toBeCloseTo(1, 1);
    expect(solid(GRID, made([20, circle(2, [-50, 25], 10)])).count).toBe(0);
    expect(solid(GRID, made([40, circle(2, [30, 25], 10)])).count).toBe(0);
  });
});

describe("between outlines", () => {
  test("a cone runs evenly from one circle to the other", () => {
    const mask = solid(GRID, made([10, circle(2, [40, 25], 16)], [20, circle(2, [40, 25], 6)]));
    for (const [k, radius] of [[10, 16], [13, 13], [15, 11], [20, 6]] as const) {
      expect(areaMm2(mask, k) / (Math.PI * radius ** 2)).toBeCloseTo(1, 1);
    }
    expect([areaMm2(mask, 9), areaMm2(mask, 21)]).toEqual([0, 0]);
  });

  test("a ball of three outlines is round", () => {
    const at = (k: number): Outline => circle(2, [40, 25], Math.sqrt(20 ** 2 - (2 * (k - 20)) ** 2));
    const mask = solid(GRID, made([11, at(11)], [20, at(20)], [29, at(29)]));
    for (const k of [11, 14, 17, 20, 24, 29]) {
      const truth = Math.PI * (20 ** 2 - (2 * (k - 20)) ** 2);
      expect(Math.abs(areaMm2(mask, k) / truth - 1)).toBeLessThan(0.15);
    }
  });

  test("two outlines beside each other, roughly drawn, do not upset what is far from them", () => {
    const rough = made(
      [10, circle(2, [40, 25], 10)],
      [11, circle(2, [40, 25], 11)],
      [31, circle(2, [40, 25], 10)],
    );
    const mask = solid(GRID, rough);
    for (let k = 10; k <= 31; k += 1) {
      const radius = Math.sqrt(areaMm2(mask, k) / Math.PI);
      expect(radius).toBeGreaterThan(9.7);
      expect(radius).toBeLessThan(12);
    }
  });

  test("an oblique tube is not lost, though its outlines do not meet", () => {
    const mask = solid(GRID, made([10, circle(2, [20, 25], 4)], [20, circle(2, [50, 25], 4)]));
    for (let k = 10; k <= 20; k += 1) {
      expect(Math.abs(areaMm2(mask, k) / (Math.PI * 16) - 1)).toBeLessThan(0.1);
    }
    expect(mask.has(Math.round(35 / 0.8), 50, 15)).toBe(true);
  });

  test("a slice outlined again, or one more, changes what lies between", () => {
    const first = made([10, circle(2, [40, 25], 10)], [20, circle(2, [40, 25], 10)]);
    const waist = withOutline(first, 2, 15, circle(2, [40, 25], 5));
    expect(areaMm2(solid(GRID, waist), 15) / (Math.PI * 25)).toBeCloseTo(1, 1);
    const again = withOutline(waist, 2, 15, circle(2, [40, 25], 10));
    expect(solid(GRID, again).count / solid(GRID, first).count).toBeCloseTo(1, 2);
    expect(first.bySlice.size).toBe(2);
  });

  test("those of another plane begin anew", () => {
    const other = withOutline(made([10, circle(2, [40, 25], 10)]), 1, 50, circle(1, [40, 30], 10));
    expect([other.through, other.bySlice.size]).toEqual([1, 1]);
  });
});

test("in a mask of other origin only the outlined slice changes", () => {
  const whole = made([10, circle(2, [40, 25], 10)], [20, circle(2, [40, 25], 10)]);
  const before = solid(GRID, whole);
  const after = withSlice(GRID, before, 2, 15, circle(2, [50, 25], 5));
  expect(areaMm2(after, 15) / (Math.PI * 25)).toBeCloseTo(1, 1);
  expect([areaMm2(after, 14), areaMm2(after, 16)]).toEqual([areaMm2(before, 14), areaMm2(before, 16)]);
  expect(after.count).toBe(after.data.reduce((sum, value) => sum + value, 0));
  const across = withSlice(GRID, before, 0, 50, circle(0, [25, 30], 3));
  expect(across.has(50, 50, 15)).toBe(true);
  expect(across.has(50, 50, 11)).toBe(false);
  expect(across.has(51, 50, 11)).toBe(true);
  expect(before.has(50, 50, 11)).toBe(true);
});

test("they lie where they did on a scan that has grown", () => {
  const outlines = made([10, circle(2, [40, 25], 10)], [14, circle(2, [40, 25], 6)]);
  const moved = solid(GRID, shifted(GRID, outlines, [3, -2, 5])).bounds();
  const box = solid(GRID, outlines).bounds();
  expect(moved?.low).toEqual([0, 1, 2].map((a) => (box?.low[a] ?? NaN) + ([3, -2, 5][a] ?? 0)));
  expect(moved?.high).toEqual([0, 1, 2].map((a) => (box?.high[a] ?? NaN) + ([3, -2, 5][a] ?? 0)));
});
