/**
 * Outlines drawn round a structure in some slices, and the solid that they make.
 *
 * Between outlined slices the signed distance to the outlines is interpolated (shape-based
 * interpolation: Raya and Udupa, IEEE Trans Med Imaging 1990; 9: 32-42), by cubics with Catmull and
 * Rom's tangents, as organs are round and not cones. The outlines are first laid over each other by
 * their middles, which follow the same curves: what runs obliquely, as a ureter does, is not lost.
 */

import type { Axis, Grid, Triple } from "./geometry";
import { Mask } from "./mask";

/** Millimetres along the two axes of the grid that lie in the slice, the lower axis first. */
export type Place = readonly [number, number];

/** A closed line, its last place joined to its first. */
export type Outline = readonly Place[];

export interface Outlines {
  /** The axis of the grid that runs through the slices. */
  readonly through: Axis;
  readonly bySlice: ReadonlyMap<number, Outline>;
}

/** What is drawn has no more places than this: with them a circle of 50 mm is true to 0.1 mm. */
export const MOST_PLACES = 96;

/** Something smaller was a click, or a slip. */
export const LEAST_AREA_MM2 = 4;

/** Part of its size by which a solid may be wider between two outlines than at them. */
const BULGE = 0.25;

type Flat = readonly [Axis, Axis];

function inSlice(through: Axis): Flat {
  return through === 0 ? [1, 2] : through === 1 ? [0, 2] : [0, 1];
}

/** The outline of a line drawn through indices; undefined when it goes round nothing. */
export function outlineOf(grid: Grid, through: Axis, line: readonly Triple[]): Outline | undefined {
  const [u, v] = inSlice(through);
  const places = line.map((at): Place => [at[u] * grid.spacingMm[u], at[v] * grid.spacingMm[v]]);
  const outline = places.length > MOST_PLACES ? thinned(places) : places;
  return Math.abs(areaMm2(outline)) >= LEAST_AREA_MM2 ? outline : undefined;
}

/** With one more slice outlined, or outlined again. */
export function withOutline(
  outlines: Outlines | null,
  through: Axis,
  slice: number,
  outline: Outline,
): Outlines {
  const known = outlines?.through === through ? outlines.bySlice : [];
  return { through, bySlice: new Map([...known, [slice, outline]]) };
}

/** The same outlines in another grid of the same spacing, whose indices are higher by so much. */
export function shifted(grid: Grid, { through, bySlice }: Outlines, by: Triple): Outlines {
  const [u, v] = inSlice(through);
  const [x, y] = [by[u] * grid.spacingMm[u], by[v] * grid.spacingMm[v]];
  const moved = [...bySlice].map(
    ([slice, outline]) =>
      [slice + by[through], outline.map(([a, b]): Place => [a + x, b + y])] as const,
  );
  return { through, bySlice: new Map(moved) };
}

/** All that lies within the outlines, and between those of one slice and of the next outlined. */
export function solid(grid: Grid, { through, bySlice }: Outlines): Mask {
  const mask = new Mask();
  const drawn = [...bySlice]
    .sort(([a], [b]) => a - b)
    .map(([slice, outline]) => ({ slice, outline, middle: middleOf(outline) }));
  const slices = drawn.map(({ slice }) => slice);
  drawn.forEach(({ slice, outline }, n) => {
    fill(mask, grid, through, slice, [{ outline, weight: 1, by: [0, 0] }]);
    for (let between = slice + 1; between < (slices[n + 1] ?? slice); between += 1) {
      const weights = weightsBetween(slices, n, between);
      const middle = ([0, 1] as const).map((axis) =>
        drawn.reduce((sum, one, m) => sum + (weights[m] ?? 0) * one.middle[axis], 0),
      );
      const laid = drawn.map(
        (one, m): Laid => ({
          outline: one.outline,
          weight: weights[m] ?? 0,
          by: [(middle[0] ?? 0) - one.middle[0], (middle[1] ?? 0) - one.middle[1]],
        }),
      );
      fill(mask, grid, through, between, laid.filter(({ weight }) => weight !== 0));
    }
  });
  return mask;
}

/** How much each outlined slice counts between the n-th and the next; all together 1. */
function weightsBetween(slices: readonly number[], n: number, at: number): number[] {
  const here = slices[n] ?? 0;
  const gap = (slices[n + 1] ?? here) - here;
  const t = (at - here) / gap;
  const [leaving, arriving] = [slopeAt(slices, n), slopeAt(slices, n + 1)];
  return slices.map((_, m) => {
    const [value, next] = [m === n ? 1 : 0, m === n + 1 ? 1 : 0];
    return (
      (2 * t ** 3 - 3 * t ** 2 + 1) * value +
      (3 * t ** 2 - 2 * t ** 3) * next +
      gap * (t ** 3 - 2 * t ** 2 + t) * (leaving[m] ?? 0) +
      gap * (t ** 3 - t ** 2) * (arriving[m] ?? 0)
    );
  });
}

/**
 * The slope at an outlined slice, as weights of all. Within: from the slice before to that after,
 * which two slices beside each other do not upset. At an end: as a parabola has it.
 */
function slopeAt(slices: readonly number[], n: number): number[] {
  const chord = (from: number, to: number): number[] => {
    const length = (slices[to] ?? 0) - (slices[from] ?? 0);
    return slices.map((_, m) => (m === to ? 1 : m === from ? -1 : 0) / length);
  };
  const last = slices.length - 1;
  if (last === 1) return chord(0, 1);
  if (n > 0 && n < last) return chord(n - 1, n + 1);
  const [side, beside] = n === 0 ? [chord(0, 1), 1] : [chord(last - 1, last), last - 1];
  const within = slopeAt(slices, beside);
  return side.map((slope, m) => 2 * slope - (within[m] ?? 0));
}

/** A mask that in one slice is what an outline holds, and elsewhere what it was. */
export function withSlice(
  grid: Grid,
  mask: Mask,
  through: Axis,
  slice: number,
  outline: Outline,
): Mask {
  const changed = mask.clone();
  const [nx, ny, nz] = changed.size;
  for (let z = 0; z < nz; z += 1) {
    for (let y = 0; y < ny; y += 1) {
      const [i, j, k] = changed.origin;
      if (through === 0) {
        if (slice >= i && slice < i + nx) changed.fillRow(slice, slice, j + y, k + z, 0);
      } else if ((through === 1 ? j + y : k + z) === slice) {
        changed.fillRow(i, i + nx - 1, j + y, k + z, 0);
      }
    }
  }
  fill(changed, grid, through, slice, [{ outline, weight: 1, by: [0, 0] }]);
  return changed;
}

/** An outline laid elsewhere, and how much it counts. */
interface Laid {
  readonly outline: Outline;
  readonly weight: number;
  readonly by: Place;
}

/** Adds the voxels of a slice that are inside, by the sum of the signed distances. */
function fill(mask: Mask, grid: Grid, through: Axis, slice: number, laid: readonly Laid[]): void {
  if (slice < 0 || slice >= grid.size[through]) return;
  const flat = inSlice(through);
  const range = (n: 0 | 1): readonly [number, number] => {
    const all = laid.flatMap(({ outline, by }) => outline.map((place) => place[n] + by[n]));
    const [axis, spacing] = [flat[n], grid.spacingMm[flat[n]]];
    const low = all.reduce((a, b) => Math.min(a, b), Infinity);
    const high = all.reduce((a, b) => Math.max(a, b), -Infinity);
    // Between two outlines it may bulge out beyond both.
    const more = laid.length > 1 ? BULGE * (high - low) : 0;
    return [
      Math.max(0, Math.ceil((low - more) / spacing)),
      Math.min(grid.size[axis] - 1, Math.floor((high + more) / spacing)),
    ];
  };
  const [[u0, u1], [v0, v1]] = [range(0), range(1)];
  if (u0 > u1 || v0 > v1) return;
  const index = (u: number, v: number): Triple =>
    through === 0 ? [slice, u, v] : through === 1 ? [u, slice, v] : [u, v, slice];
  mask.include({ low: index(u0, v0), high: index(u1, v1) }, grid);
  const [su, sv] = [grid.spacingMm[flat[0]], grid.spacingMm[flat[1]]];
  for (let v = v0; v <= v1; v += 1) {
    for (let u = u0; u <= u1; u += 1) {
      const depth = laid.reduce(
        (sum, { outline, weight, by }) =>
          sum + weight * depthMm(outline, u * su - by[0], v * sv - by[1]),
        0,
      );
      const [i, j, k] = index(u, v);
      if (depth >= 0) mask.fillRow(i, i, j, k, 1);
    }
  }
}

/** How far inside an outline a place is; negative outside. A line that crosses itself has no holes. */
function depthMm(outline: Outline, x: number, y: number): number {
  let winding = 0;
  let least = Infinity;
  let [x0, y0] = outline[outline.length - 1] ?? [0, 0];
  for (const [x1, y1] of outline) {
    const [dx, dy] = [x1 - x0, y1 - y0];
    const length = dx * dx + dy * dy;
    const along = length > 0 ? ((x - x0) * dx + (y - y0) * dy) / length : 0;
    const near = Math.min(Math.max(along, 0), 1);
    least = Math.min(least, (x0 + near * dx - x) ** 2 + (y0 + near * dy - y) ** 2);
    const left = dx * (y - y0) - (x - x0) * dy;
    if (y0 <= y && y1 > y && left > 0) winding += 1;
    else if (y0 > y && y1 <= y && left < 0) winding -= 1;
    [x0, y0] = [x1, y1];
  }
  return Math.sqrt(least) * (winding === 0 ? -1 : 1);
}

/** Signed; by the shoelace formula. */
function areaMm2(outline: Outline): number {
  return eachSide(outline).reduce((sum, [[x0, y0], [x1, y1]]) => sum + (x0 * y1 - x1 * y0) / 2, 0);
}

/** Of its line, not of its area: it does not depend on which way round it was drawn. */
function middleOf(outline: Outline): Place {
  let [length, x, y] = [0, 0, 0];
  for (const [[x0, y0], [x1, y1]] of eachSide(outline)) {
    const side = Math.hypot(x1 - x0, y1 - y0);
    length += side;
    x += (side * (x0 + x1)) / 2;
    y += (side * (y0 + y1)) / 2;
  }
  return [x / length, y / length];
}

function eachSide(outline: Outline): readonly (readonly [Place, Place])[] {
  return outline.map((place, n) => [outline[n === 0 ? outline.length - 1 : n - 1] ?? place, place]);
}

/** So many places at equal distances along the line as may be. */
function thinned(places: Outline): Outline {
  const sides = eachSide(places).map(([a, b]) => Math.hypot(b[0] - a[0], b[1] - a[1]));
  const step = sides.reduce((sum, side) => sum + side, 0) / MOST_PLACES;
  const kept: Place[] = [];
  let gone = step;
  places.forEach((place, n) => {
    gone += n === 0 ? 0 : (sides[n] ?? 0);
    if (gone < step) return;
    kept.push(place);
    gone %= step;
  });
  return kept;
}
