/** Volume and greatest diameter of what is marked. */

import type { Grid, Triple } from "./geometry";
import type { Mask } from "./mask";

export function volumeMl(grid: Grid, mask: Mask): number {
  const [x, y, z] = grid.spacingMm;
  return (mask.count * x * y * z) / 1000;
}

/** Directions in which extreme points are looked for: 2 degrees of error, 0.1 % of the length. */
const DIRECTIONS = 400;

function directions(): Triple[] {
  // A golden-angle spiral over half a sphere: a width has no sign.
  return Array.from({ length: DIRECTIONS }, (_, n) => {
    const z = (n + 0.5) / DIRECTIONS;
    const ring = Math.sqrt(1 - z * z);
    const turn = n * Math.PI * (3 - Math.sqrt(5));
    return [ring * Math.cos(turn), ring * Math.sin(turn), z];
  });
}

/** Centres of the outer faces of a mask's voxels, in mm; of each row only the first and last. */
function outerFaces(grid: Grid, mask: Mask): Triple[] {
  const [sx, sy, sz] = grid.spacingMm;
  const [nx, ny, nz] = mask.size;
  const found: Triple[] = [];
  const scan = (
    n: number,
    has: (index: number) => boolean,
    face: (edge: number) => Triple,
  ): void => {
    let first = 0;
    while (first < n && !has(first)) first += 1;
    if (first === n) return;
    let last = n - 1;
    while (!has(last)) last -= 1;
    found.push(face(first - 0.5), face(last + 0.5));
  };
  const has = (x: number, y: number, z: number): boolean =>
    mask.data[(z * ny + y) * nx + x] === 1;
  for (let z = 0; z < nz; z += 1) {
    for (let y = 0; y < ny; y += 1) {
      scan(nx, (x) => has(x, y, z), (x) => [x * sx, y * sy, z * sz]);
    }
    for (let x = 0; x < nx; x += 1) {
      scan(ny, (y) => has(x, y, z), (y) => [x * sx, y * sy, z * sz]);
    }
  }
  for (let y = 0; y < ny; y += 1) {
    for (let x = 0; x < nx; x += 1) {
      scan(nz, (z) => has(x, y, z), (z) => [x * sx, y * sy, z * sz]);
    }
  }
  return found;
}

/** The longest straight line between two outer faces; 0 for nothing. */
export function greatestDiameterMm(grid: Grid, mask: Mask): number {
  const faces = outerFaces(grid, mask);
  const ends = new Set<Triple>();
  for (const [dx, dy, dz] of directions()) {
    let [least, greatest] = [Infinity, -Infinity];
    let [from, to]: [Triple | undefined, Triple | undefined] = [undefined, undefined];
    for (const point of faces) {
      const along = point[0] * dx + point[1] * dy + point[2] * dz;
      if (along < least) [least, from] = [along, point];
      if (along > greatest) [greatest, to] = [along, point];
    }
    if (from) ends.add(from);
    if (to) ends.add(to);
  }
  const points = [...ends];
  let square = 0;
  points.forEach((a, n) => {
    for (const b of points.slice(n + 1)) {
      square = Math.max(square, (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2);
    }
  });
  return Math.sqrt(square);
}
