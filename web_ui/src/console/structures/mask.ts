/** Voxels of one structure, kept in a box that grows with them. */

import type { Grid, Triple } from "./geometry";

/** Least and greatest index along each axis, both inside. */
export interface Box {
  readonly low: Triple;
  readonly high: Triple;
}

/** A box that grows takes this many voxels more on each side, so that it seldom has to. */
const SPARE = 8;

export class Mask {
  /** Index of the box's first voxel. */
  origin: Triple = [0, 0, 0];
  /** Voxels of the box along i, j and k. */
  size: Triple = [0, 0, 0];
  /** 1 inside; i runs fastest, then j, then k. */
  data: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** Voxels inside. */
  count = 0;

  /** A mask from a box of voxels; the data is taken over. */
  static of(origin: Triple, size: Triple, data: Uint8Array<ArrayBuffer>): Mask {
    if (data.length !== size[0] * size[1] * size[2]) throw new Error("the box is of another size");
    const mask = new Mask();
    mask.origin = origin;
    mask.size = size;
    mask.data = data;
    for (const value of data) mask.count += value;
    return mask;
  }

  clone(): Mask {
    const mask = new Mask();
    mask.origin = this.origin;
    mask.size = this.size;
    mask.data = this.data.slice();
    mask.count = this.count;
    return mask;
  }

  has(i: number, j: number, k: number): boolean {
    const [x, y, z] = [i - this.origin[0], j - this.origin[1], k - this.origin[2]];
    const [nx, ny, nz] = this.size;
    if (x < 0 || y < 0 || z < 0 || x >= nx || y >= ny || z >= nz) return false;
    return this.data[(z * ny + y) * nx + x] === 1;
  }

  /** Makes room for a box within the grid; what is inside stays. */
  include(box: Box, grid: Grid): void {
    const held = this.data.length > 0;
    const end = this.origin.map((first, axis) => first + (this.size[axis] ?? 0) - 1);
    const axes = [0, 1, 2] as const;
    if (
      held &&
      axes.every((a) => box.low[a] >= this.origin[a] && box.high[a] <= (end[a] ?? 0))
    ) {
      return;
    }
    const low = axes.map((a) =>
      Math.max(0, Math.min(box.low[a] - SPARE, held ? this.origin[a] : Infinity)),
    ) as unknown as Triple;
    const high = axes.map((a) =>
      Math.min(grid.size[a] - 1, Math.max(box.high[a] + SPARE, held ? (end[a] ?? 0) : -Infinity)),
    );
    const size = axes.map((a) => (high[a] ?? 0) - low[a] + 1) as unknown as Triple;
    const data = new Uint8Array(size[0] * size[1] * size[2]);
    const [nx, ny, nz] = this.size;
    for (let z = 0; z < nz; z += 1) {
      for (let y = 0; y < ny; y += 1) {
        const from = (z * ny + y) * nx;
        const row = (z + this.origin[2] - low[2]) * size[1] + (y + this.origin[1] - low[1]);
        data.set(this.data.subarray(from, from + nx), row * size[0] + this.origin[0] - low[0]);
      }
    }
    this.origin = low;
    this.size = size;
    this.data = data;
  }

  /** Sets the voxels i0 to i1 (both inside the box) of a row. */
  fillRow(i0: number, i1: number, j: number, k: number, value: 0 | 1): void {
    const row = ((k - this.origin[2]) * this.size[1] + (j - this.origin[1])) * this.size[0];
    for (let at = row + i0 - this.origin[0]; at <= row + i1 - this.origin[0]; at += 1) {
      this.count += value - (this.data[at] ?? 0);
      this.data[at] = value;
    }
  }

  /** The smallest box round what is inside; undefined for nothing. */
  bounds(): Box | undefined {
    if (this.count === 0) return undefined;
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    const [nx, ny, nz] = this.size;
    for (let z = 0, at = 0; z < nz; z += 1) {
      for (let y = 0; y < ny; y += 1) {
        for (let x = 0; x < nx; x += 1, at += 1) {
          if (this.data[at] === 0) continue;
          const index = [x, y, z];
          for (const axis of [0, 1, 2]) {
            low[axis] = Math.min(low[axis] ?? 0, index[axis] ?? 0);
            high[axis] = Math.max(high[axis] ?? 0, index[axis] ?? 0);
          }
        }
      }
    }
    const placed = (corner: number[]): Triple =>
      corner.map((n, axis) => n + (this.origin[axis] ?? 0)) as unknown as Triple;
    return { low: placed(low), high: placed(high) };
  }

  /** The same voxels in their smallest box. */
  trimmed(): Mask {
    const box = this.bounds();
    if (!box) return new Mask();
    const size = [0, 1, 2].map(
      (axis) => (box.high[axis] ?? 0) - (box.low[axis] ?? 0) + 1,
    ) as unknown as Triple;
    const data = new Uint8Array(size[0] * size[1] * size[2]);
    for (let z = 0, at = 0; z < size[2]; z += 1) {
      for (let y = 0; y < size[1]; y += 1) {
        for (let x = 0; x < size[0]; x += 1, at += 1) {
          data[at] = this.has(x + box.low[0], y + box.low[1], z + box.low[2]) ? 1 : 0;
        }
      }
    }
    return Mask.of(box.low, size, data);
  }
}
