/**
 * The planning scan's grid, and the three planes through it.
 *
 * An index is (i, j, k) along the grid's own axes, whole numbers at voxel centres; places are LPS
 * millimetres. The picture of a plane lies as on the display: the patient's left at the right,
 * anterior and head on top, whatever the patient's position on the table.
 */

export type Triple = readonly [number, number, number];

export interface Grid {
  /** Voxels along i, j and k. */
  readonly size: Triple;
  readonly spacingMm: Triple;
  readonly originLpsMm: Triple;
  /** Row-major 3x3; its columns are the directions of i, j and k in LPS. */
  readonly direction: readonly number[];
}

export type Axis = 0 | 1 | 2;
export type PlaneName = "axial" | "coronal" | "sagittal";

/** One picture axis: an axis of the grid, and whether it runs against the picture. */
export interface PictureAxis {
  readonly axis: Axis;
  readonly flipped: boolean;
}

export interface Plane {
  readonly name: PlaneName;
  readonly across: PictureAxis;
  readonly down: PictureAxis;
  readonly through: Axis;
  /** Patient directions at the picture's edges. */
  readonly edges: { readonly left: string; readonly right: string; readonly top: string; readonly bottom: string };
}

const AXES: readonly Axis[] = [0, 1, 2];

/** For each plane the patient axis across, that down (with its sign), and that through it. */
const VIEWS: Record<PlaneName, { across: Axis; down: Axis; downSign: 1 | -1; through: Axis }> = {
  axial: { across: 0, down: 1, downSign: 1, through: 2 },
  coronal: { across: 0, down: 2, downSign: -1, through: 1 },
  sagittal: { across: 1, down: 2, downSign: -1, through: 0 },
};

/** Letters of the patient axes, for growing and for falling coordinates. */
const LETTERS: readonly (readonly [string, string])[] = [
  ["L", "R"],
  ["P", "A"],
  ["H", "F"],
];

/** A direction with less than this in a patient axis does not get that axis's letter (30 degrees). */
const LETTER_COSINE = 0.5;

function cosine(grid: Grid, patient: Axis, axis: Axis): number {
  return grid.direction[patient * 3 + axis] ?? 0;
}

/** For each patient axis the grid's axis that lies along it best; each is given once. */
export function axesAlong(grid: Grid): Triple & readonly Axis[] {
  let best: readonly Axis[] = AXES;
  let bestSum = -1;
  for (const x of AXES) {
    for (const y of AXES) {
      if (y === x) continue;
      const z = (3 - x - y) as Axis;
      const sum =
        Math.abs(cosine(grid, 0, x)) + Math.abs(cosine(grid, 1, y)) + Math.abs(cosine(grid, 2, z));
      if (sum > bestSum + 1e-9) {
        bestSum = sum;
        best = [x, y, z];
      }
    }
  }
  return best as Triple & readonly Axis[];
}

/** "A", or "AH" for a direction between two; the stronger one first. */
function lettersOf(grid: Grid, axis: Axis, sign: number): string {
  return AXES.map((patient) => ({ patient, along: cosine(grid, patient, axis) * sign }))
    .filter(({ along }) => Math.abs(along) >= LETTER_COSINE)
    .sort((a, b) => Math.abs(b.along) - Math.abs(a.along))
    .map(({ patient, along }) => LETTERS[patient]?.[along > 0 ? 0 : 1] ?? "")
    .join("");
}

export function planeOf(grid: Grid, name: PlaneName): Plane {
  const view = VIEWS[name];
  const along = axesAlong(grid) as readonly Axis[];
  const across = along[view.across] ?? 0;
  const down = along[view.down] ?? 1;
  const acrossFlipped = cosine(grid, view.across, across) < 0;
  const downFlipped = cosine(grid, view.down, down) * view.downSign < 0;
  const [right, bottom] = [acrossFlipped ? -1 : 1, downFlipped ? -1 : 1];
  return {
    name,
    across: { axis: across, flipped: acrossFlipped },
    down: { axis: down, flipped: downFlipped },
    through: along[view.through] ?? 2,
    edges: {
      left: lettersOf(grid, across, -right),
      right: lettersOf(grid, across, right),
      top: lettersOf(grid, down, -bottom),
      bottom: lettersOf(grid, down, bottom),
    },
  };
}

/** Width and height of a plane's picture in millimetres. */
export function pictureMm(grid: Grid, plane: Plane): readonly [number, number] {
  const { across, down } = plane;
  return [
    grid.size[across.axis] * grid.spacingMm[across.axis],
    grid.size[down.axis] * grid.spacingMm[down.axis],
  ];
}

function along(grid: Grid, { axis, flipped }: PictureAxis, index: number): number {
  const cells = flipped ? grid.size[axis] - 0.5 - index : index + 0.5;
  return cells * grid.spacingMm[axis];
}

function indexAlong(grid: Grid, { axis, flipped }: PictureAxis, mm: number): number {
  const cells = mm / grid.spacingMm[axis];
  return flipped ? grid.size[axis] - 0.5 - cells : cells - 0.5;
}

/** Where an index lies in a plane's picture: mm from its upper left corner. */
export function toPicture(grid: Grid, plane: Plane, index: Triple): readonly [number, number] {
  return [
    along(grid, plane.across, index[plane.across.axis]),
    along(grid, plane.down, index[plane.down.axis]),
  ];
}

/** The index at a place of a plane's picture, in the slice of `at`. */
export function fromPicture(
  grid: Grid,
  plane: Plane,
  place: readonly [number, number],
  at: Triple,
): Triple {
  const index: [number, number, number] = [...at];
  index[plane.across.axis] = indexAlong(grid, plane.across, place[0]);
  index[plane.down.axis] = indexAlong(grid, plane.down, place[1]);
  return index;
}

export function toLps(grid: Grid, index: Triple): Triple {
  const row = (patient: Axis): number =>
    AXES.reduce<number>(
      (sum, axis) => sum + cosine(grid, patient, axis) * index[axis] * grid.spacingMm[axis],
      grid.originLpsMm[patient],
    );
  return [row(0), row(1), row(2)];
}

/** The voxel at an index, or undefined outside the scan. */
export function voxelAt(grid: Grid, index: Triple): Triple | undefined {
  const voxel = index.map(Math.round) as unknown as Triple;
  return AXES.every((axis) => voxel[axis] >= 0 && voxel[axis] < grid.size[axis])
    ? voxel
    : undefined;
}

/** Grids whose voxels differ by less than this part of one are the same. */
const SAME_VOXELS = 0.01;

/** By how many voxels an index of one grid differs in another one; undefined for other voxels. */
export function shiftBetween(from: Grid, to: Grid): Triple | undefined {
  const turned = from.direction.some((n, at) => Math.abs(n - (to.direction[at] ?? 0)) > 1e-6);
  const scaled = AXES.some(
    (axis) => Math.abs(from.spacingMm[axis] / to.spacingMm[axis] - 1) > 1e-4,
  );
  if (turned || scaled) return undefined;
  const away = AXES.map((patient) => from.originLpsMm[patient] - to.originLpsMm[patient]);
  const exact = AXES.map(
    (axis) =>
      AXES.reduce<number>((sum, patient) => sum + cosine(to, patient, axis) * (away[patient] ?? 0), 0) /
      to.spacingMm[axis],
  );
  const whole = exact.map(Math.round) as unknown as Triple;
  return AXES.every((axis) => Math.abs((exact[axis] ?? NaN) - whole[axis]) < SAME_VOXELS)
    ? whole
    : undefined;
}

/** The nearest index inside the scan. */
export function inside(grid: Grid, index: Triple): Triple {
  const clamp = (axis: Axis): number => Math.min(Math.max(index[axis], 0), grid.size[axis] - 1);
  return [clamp(0), clamp(1), clamp(2)];
}

/** Denser than this is body, or table: half way between air and fat. */
const BODY_HU = -500;

/** Every so many voxels are enough to find the body. */
const BODY_STEP = 4;

/** A plane of voxels with less of it than this, of the fullest plane, has a cable or noise. */
const BODY_PART = 0.06;

/** First and last index along each axis between which the body is, with a little to spare. */
export function bodyOf(volume: Int16Array, grid: Grid): readonly [Triple, Triple] {
  const [nx, ny, nz] = grid.size;
  const counts = AXES.map((axis) => new Uint32Array(grid.size[axis]));
  for (let k = 0; k < nz; k += BODY_STEP) {
    for (let j = 0; j < ny; j += BODY_STEP) {
      for (let i = 0; i < nx; i += BODY_STEP) {
        if ((volume[(k * ny + j) * nx + i] ?? BODY_HU) <= BODY_HU) continue;
        [i, j, k].forEach((index, axis) => {
          const count = counts[axis];
          if (count) count[index] = (count[index] ?? 0) + 1;
        });
      }
    }
  }
  const ends = counts.map((count, axis): readonly [number, number] => {
    const least = BODY_PART * Math.max(...count);
    const held = [...count.keys()].filter((n) => (count[n] ?? 0) > least);
    const last = (grid.size[axis] ?? 1) - 1;
    if (held.length === 0) return [0, last];
    const [low, high] = [held[0] ?? 0, held.at(-1) ?? last];
    return [Math.max(0, low - 2 * BODY_STEP), Math.min(last, high + 2 * BODY_STEP)];
  });
  const at = (axis: Axis, end: 0 | 1): number => ends[axis]?.[end] ?? 0;
  return [
    [at(0, 0), at(1, 0), at(2, 0)],
    [at(0, 1), at(1, 1), at(2, 1)],
  ];
}
