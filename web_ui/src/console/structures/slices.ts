/** One slice of the scan, or of a mask, as a picture's pixels; and the mask's outline in it. */

import type { Grid, Plane } from "./geometry";
import type { Mask } from "./mask";

export interface GreyWindow {
  readonly levelHu: number;
  readonly widthHu: number;
}

interface Walk {
  readonly width: number;
  readonly height: number;
  readonly start: number;
  readonly acrossStep: number;
  readonly downStep: number;
}

/** How a slice's pixels lie in an array over the grid. */
function walk(grid: Grid, plane: Plane, slice: number): Walk {
  const [nx, ny] = grid.size;
  const steps = [1, nx, nx * ny] as const;
  const { across, down, through } = plane;
  const [width, height] = [grid.size[across.axis], grid.size[down.axis]];
  const start =
    slice * steps[through] +
    (across.flipped ? (width - 1) * steps[across.axis] : 0) +
    (down.flipped ? (height - 1) * steps[down.axis] : 0);
  return {
    width,
    height,
    start,
    acrossStep: across.flipped ? -steps[across.axis] : steps[across.axis],
    downStep: down.flipped ? -steps[down.axis] : steps[down.axis],
  };
}

/** Opaque grey pixels of a slice, row by row (little-endian ABGR, as canvases have it). */
export function greys(
  volume: Int16Array,
  grid: Grid,
  plane: Plane,
  slice: number,
  { levelHu, widthHu }: GreyWindow,
): { width: number; height: number; pixels: Uint32Array<ArrayBuffer> } {
  const { width, height, start, acrossStep, downStep } = walk(grid, plane, slice);
  const pixels = new Uint32Array(width * height);
  const low = levelHu - widthHu / 2;
  const gain = 255 / widthHu;
  let to = 0;
  for (let row = 0, line = start; row < height; row += 1, line += downStep) {
    for (let column = 0, at = line; column < width; column += 1, at += acrossStep) {
      const grey = ((volume[at] ?? 0) - low) * gain + 0.5;
      const byte = grey <= 0 ? 0 : grey >= 255 ? 255 : grey | 0;
      pixels[to] = 0xff000000 | (byte * 0x010101);
      to += 1;
    }
  }
  return { width, height, pixels };
}

/** Where a mask is in a slice: its part of the picture, in pixels. */
export interface Patch {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** 1 inside, row by row. */
  readonly inside: Uint8Array;
}

/** The mask's box as the picture shows it; undefined where the slice does not meet it. */
export function patchOf(mask: Mask, grid: Grid, plane: Plane, slice: number): Patch | undefined {
  const { across, down, through } = plane;
  const depth = slice - mask.origin[through];
  if (depth < 0 || depth >= mask.size[through]) return undefined;
  const local: Grid = { ...grid, size: mask.size };
  const { width, height, start, acrossStep, downStep } = walk(local, plane, depth);
  const inside = new Uint8Array(width * height);
  let to = 0;
  let any = 0;
  for (let row = 0, line = start; row < height; row += 1, line += downStep) {
    for (let column = 0, at = line; column < width; column += 1, at += acrossStep) {
      const value = mask.data[at] ?? 0;
      any |= value;
      inside[to] = value;
      to += 1;
    }
  }
  if (any === 0) return undefined;
  const edge = ({ axis, flipped }: Plane["across"]): number =>
    flipped ? grid.size[axis] - mask.origin[axis] - mask.size[axis] : mask.origin[axis];
  return { left: edge(across), top: edge(down), width, height, inside };
}

/** Both ends of a piece of outline, in pixels of the picture. */
export type Segment = readonly [number, number, number, number];

/** Middles of a cell's top, right, bottom and left side. */
const SIDES = [
  [0.5, 0],
  [1, 0.5],
  [0.5, 1],
  [0, 0.5],
] as const;

/** Marching squares: pairs of sides that a cell's outline joins, by its four corners. */
const CELLS: readonly (readonly (readonly [0 | 1 | 2 | 3, 0 | 1 | 2 | 3])[])[] = [
  [],
  [[3, 0]],
  [[0, 1]],
  [[3, 1]],
  [[1, 2]],
  [
    [3, 0],
    [1, 2],
  ],
  [[0, 2]],
  [[3, 2]],
  [[2, 3]],
  [[2, 0]],
  [
    [0, 1],
    [2, 3],
  ],
  [[2, 1]],
  [[1, 3]],
  [[1, 0]],
  [[0, 3]],
  [],
];

/** The outline half way between pixels inside and outside. */
export function outline({ left, top, width, height, inside }: Patch): Segment[] {
  const at = (x: number, y: number): number =>
    x >= 0 && y >= 0 && x < width && y < height ? (inside[y * width + x] ?? 0) : 0;
  const found: Segment[] = [];
  for (let y = -1; y < height; y += 1) {
    for (let x = -1; x < width; x += 1) {
      const corners = at(x, y) | (at(x + 1, y) << 1) | (at(x + 1, y + 1) << 2) | (at(x, y + 1) << 3);
      for (const [a, b] of CELLS[corners] ?? []) {
        // Pixel centres lie half a pixel inside their pixel.
        const [u, v] = [left + x + 0.5, top + y + 0.5];
        found.push([u + SIDES[a][0], v + SIDES[a][1], u + SIDES[b][0], v + SIDES[b][1]]);
      }
    }
  }
  return found;
}
