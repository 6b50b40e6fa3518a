/** What part of a plane's picture is seen on the screen, and how large. */

export type Point = readonly [number, number];

export interface Viewport {
  /** Millimetres of the picture at the middle of the screen. */
  readonly middleMm: Point;
  /** Screen pixels a millimetre; the same in both directions. */
  readonly scale: number;
}

const GREATEST_SCALE = 40;

/** The whole picture, as large as it fits. */
export function fitted(pictureMm: Point, screen: Point): Viewport {
  return {
    middleMm: [pictureMm[0] / 2, pictureMm[1] / 2],
    scale: Math.max(1e-3, Math.min(screen[0] / pictureMm[0], screen[1] / pictureMm[1])),
  };
}

/** A part of the picture, given by two of its corners, as large as it fits. */
export function fittedTo(a: Point, b: Point, screen: Point): Viewport {
  const size: Point = [Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
  return { ...fitted(size, screen), middleMm: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
}

export function toScreen(viewport: Viewport, screen: Point, place: Point): Point {
  const { middleMm, scale } = viewport;
  return [
    screen[0] / 2 + (place[0] - middleMm[0]) * scale,
    screen[1] / 2 + (place[1] - middleMm[1]) * scale,
  ];
}

export function fromScreen(viewport: Viewport, screen: Point, pixel: Point): Point {
  const { middleMm, scale } = viewport;
  return [
    middleMm[0] + (pixel[0] - screen[0] / 2) / scale,
    middleMm[1] + (pixel[1] - screen[1] / 2) / scale,
  ];
}

/** Larger by a factor; what is under a pixel stays there. Never smaller than all of the picture. */
export function zoomed(
  viewport: Viewport,
  pictureMm: Point,
  screen: Point,
  pixel: Point,
  factor: number,
): Viewport {
  const least = fitted(pictureMm, screen).scale;
  const scale = Math.min(Math.max(viewport.scale * factor, least), Math.max(GREATEST_SCALE, least));
  const held = fromScreen(viewport, screen, pixel);
  const middleMm: Point = [
    held[0] - (pixel[0] - screen[0] / 2) / scale,
    held[1] - (pixel[1] - screen[1] / 2) / scale,
  ];
  return kept({ middleMm, scale }, pictureMm);
}

export function panned(viewport: Viewport, pictureMm: Point, pixels: Point): Viewport {
  const { middleMm, scale } = viewport;
  return kept(
    { middleMm: [middleMm[0] - pixels[0] / scale, middleMm[1] - pixels[1] / scale], scale },
    pictureMm,
  );
}

/** The middle of the screen stays on the picture: it can't be lost. */
function kept({ middleMm, scale }: Viewport, pictureMm: Point): Viewport {
  const clamp = (n: 0 | 1): number => Math.min(Math.max(middleMm[n], 0), pictureMm[n]);
  return { middleMm: [clamp(0), clamp(1)], scale };
}
