/** The 3-D brush: a sphere in millimetres, which reaches the neighbouring slices too. */

import type { Grid, Triple } from "./geometry";
import type { Mask } from "./mask";

export const LEAST_RADIUS_MM = 1;
export const GREATEST_RADIUS_MM = 30;

/** Sets every voxel whose centre is within the radius of a place (an index), in place. */
export function paintBall(
  mask: Mask,
  grid: Grid,
  centre: Triple,
  radiusMm: number,
  value: 0 | 1,
): void {
  const range = (axis: 0 | 1 | 2): readonly [number, number] => {
    const reach = radiusMm / grid.spacingMm[axis];
    const first = value === 1 ? 0 : Math.max(0, mask.origin[axis]);
    const last = value === 1 ? grid.size[axis] - 1 : mask.origin[axis] + mask.size[axis] - 1;
    return [
      Math.max(first, Math.ceil(centre[axis] - reach)),
      Math.min(last, Math.floor(centre[axis] + reach)),
    ];
  };
  const [[i0, i1], [j0, j1], [k0, k1]] = [range(0), range(1), range(2)];
  if (i0 > i1 || j0 > j1 || k0 > k1) return;
  if (value === 1) mask.include({ low: [i0, j0, k0], high: [i1, j1, k1] }, grid);
  for (let k = k0; k <= k1; k += 1) {
    const z = (k - centre[2]) * grid.spacingMm[2];
    for (let j = j0; j <= j1; j += 1) {
      const y = (j - centre[1]) * grid.spacingMm[1];
      const left = radiusMm ** 2 - z ** 2 - y ** 2;
      if (left < 0) continue;
      const reach = Math.sqrt(left) / grid.spacingMm[0];
      const first = Math.max(i0, Math.ceil(centre[0] - reach));
      const last = Math.min(i1, Math.floor(centre[0] + reach));
      if (first <= last) mask.fillRow(first, last, j, k, value);
    }
  }
}

/** Places from one to another, so near to each other that balls there make one smooth stroke. */
export function along(grid: Grid, from: Triple, to: Triple, radiusMm: number): Triple[] {
  const lengthMm = Math.hypot(
    ...([0, 1, 2] as const).map((axis) => (to[axis] - from[axis]) * grid.spacingMm[axis]),
  );
  const steps = Math.max(1, Math.ceil(lengthMm / (radiusMm / 3)));
  return Array.from({ length: steps }, (_, n) => {
    const part = (n + 1) / steps;
    const at = (axis: 0 | 1 | 2): number => from[axis] + part * (to[axis] - from[axis]);
    return [at(0), at(1), at(2)];
  });
}
