/**
 * Ellipsoids along the grid's axes, and stretching by their radii.
 *
 * A structure that was grown or painted is stretched by the radii of the box round it; an
 * ellipsoid is made anew, so that it stays one.
 */

import type { Axis, Grid, Triple } from "./geometry";
import { Mask } from "./mask";

export interface Ellipsoid {
  /** An index. */
  readonly centre: Triple;
  /** Along i, j and k. */
  readonly radiiMm: Triple;
}

export const LEAST_RADIUS_MM = 1.5;
export const GREATEST_RADIUS_MM = 100;

const AXES: readonly Axis[] = [0, 1, 2];

function each(value: (axis: Axis) => number): Triple {
  return [value(0), value(1), value(2)];
}

/** Voxels whose centres lie inside; what lies outside the scan is cut off. */
export function rasterised(grid: Grid, { centre, radiiMm }: Ellipsoid): Mask {
  const reach = each((a) => radiiMm[a] / grid.spacingMm[a]);
  const low = each((a) => Math.max(0, Math.ceil(centre[a] - reach[a])));
  const high = each((a) => Math.min(grid.size[a] - 1, Math.floor(centre[a] + reach[a])));
  const size = each((a) => high[a] - low[a] + 1);
  if (size.some((n) => n <= 0)) return new Mask();
  const mask = Mask.of(low, size, new Uint8Array(size[0] * size[1] * size[2]));
  for (let k = low[2]; k <= high[2]; k += 1) {
    for (let j = low[1]; j <= high[1]; j += 1) {
      const left = 1 - ((k - centre[2]) / reach[2]) ** 2 - ((j - centre[1]) / reach[1]) ** 2;
      if (left < 0) continue;
      const half = Math.sqrt(left) * reach[0];
      const first = Math.max(low[0], Math.ceil(centre[0] - half));
      const last = Math.min(high[0], Math.floor(centre[0] + half));
      if (first <= last) mask.fillRow(first, last, j, k, 1);
    }
  }
  return mask;
}

/** The ellipsoid in the box round a mask; undefined for an empty one. */
export function roundMask(grid: Grid, mask: Mask): Ellipsoid | undefined {
  const box = mask.bounds();
  if (!box) return undefined;
  return {
    centre: each((a) => (box.low[a] + box.high[a]) / 2),
    radiiMm: each((a) => ((box.high[a] - box.low[a] + 1) / 2) * grid.spacingMm[a]),
  };
}

/** One end of one axis drawn to another index along it; the end across stays where it is. */
export function withEnd(
  grid: Grid,
  ellipsoid: Ellipsoid,
  axis: Axis,
  side: 1 | -1,
  index: number,
): Ellipsoid {
  const spacing = grid.spacingMm[axis];
  const fixed = ellipsoid.centre[axis] - (side * ellipsoid.radiiMm[axis]) / spacing;
  const asked = ((index - fixed) * side * spacing) / 2;
  const radius = Math.min(Math.max(asked, LEAST_RADIUS_MM), GREATEST_RADIUS_MM);
  return {
    centre: each((a) => (a === axis ? fixed + (side * radius) / spacing : ellipsoid.centre[a])),
    radiiMm: each((a) => (a === axis ? radius : ellipsoid.radiiMm[a])),
  };
}

export function moved(ellipsoid: Ellipsoid, by: Triple): Ellipsoid {
  return { ...ellipsoid, centre: each((a) => ellipsoid.centre[a] + by[a]) };
}

/** A mask stretched and moved as one ellipsoid becomes another; nearest voxels. */
export function stretched(grid: Grid, mask: Mask, from: Ellipsoid, to: Ellipsoid): Mask {
  const scale = each((a) => to.radiiMm[a] / from.radiiMm[a]);
  const low = each((a) =>
    Math.max(0, Math.floor(to.centre[a] - to.radiiMm[a] / grid.spacingMm[a])),
  );
  const high = each((a) =>
    Math.min(grid.size[a] - 1, Math.ceil(to.centre[a] + to.radiiMm[a] / grid.spacingMm[a])),
  );
  const size = each((a) => high[a] - low[a] + 1);
  if (AXES.some((a) => size[a] <= 0)) return new Mask();
  const source = (a: Axis): Int32Array =>
    Int32Array.from({ length: size[a] }, (_, n) =>
      Math.round((n + low[a] - to.centre[a]) / scale[a] + from.centre[a]),
    );
  const [xs, ys, zs] = [source(0), source(1), source(2)];
  const data = new Uint8Array(size[0] * size[1] * size[2]);
  let at = 0;
  for (const z of zs) {
    for (const y of ys) {
      for (const x of xs) {
        data[at] = mask.has(x, y, z) ? 1 : 0;
        at += 1;
      }
    }
  }
  return Mask.of(low, size, data);
}
