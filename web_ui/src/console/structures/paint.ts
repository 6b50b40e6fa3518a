/** Drawing one plane on a canvas: the slice, what is marked, the crosshair, handles and brush. */

import type { Ellipsoid } from "./ellipsoid";
import { toPicture } from "./geometry";
import type { Axis, Grid, Plane, Triple } from "./geometry";
import type { Mask } from "./mask";
import { outline, patchOf } from "./slices";
import { toScreen } from "./viewport";
import type { Point, Viewport } from "./viewport";

export interface Layer {
  readonly mask: Mask;
  readonly colour: string;
  readonly selected: boolean;
}

export interface Handle {
  /** Undefined for the one in the middle, which moves all. */
  readonly end: { readonly axis: Axis; readonly side: 1 | -1 } | undefined;
  readonly at: Point;
}

export interface Scene {
  readonly grid: Grid;
  readonly plane: Plane;
  readonly picture: CanvasImageSource;
  readonly pictureMm: Point;
  readonly slice: number;
  readonly viewport: Viewport;
  /** CSS pixels, and device pixels for each of them. */
  readonly screen: Point;
  readonly density: number;
  readonly layers: readonly Layer[];
  readonly cursor: Triple;
  readonly handles: readonly Handle[];
  readonly ring: Ring | undefined;
  /** What is being drawn, on the screen. */
  readonly trace: readonly Point[];
}

/** A circle on the screen, as large as the tool in hand. */
export interface Ring {
  readonly at: Point;
  readonly radiusPx: number;
}

/** Strength of a mask's colour over the scan. */
const TINT = 0.22;

/** Pixels round the crosshair's middle that stay free, so that it hides nothing. */
const GAP = 14;

const HANDLE_PX = 8;
const LEAST_HANDLE_PX = 4;

/** Where an ellipsoid's handles are on the screen, in the plane it is seen in. */
export function handlesOf(
  grid: Grid,
  plane: Plane,
  ellipsoid: Ellipsoid,
  place: (index: Triple) => Point,
): Handle[] {
  const ends = [plane.across.axis, plane.down.axis].flatMap((axis) =>
    ([1, -1] as const).map((side): Handle => {
      const index: [number, number, number] = [...ellipsoid.centre];
      index[axis] += (side * ellipsoid.radiiMm[axis]) / grid.spacingMm[axis];
      return { end: { axis, side }, at: place(index) };
    }),
  );
  return [{ end: undefined, at: place(ellipsoid.centre) }, ...ends];
}

/** Radius of a handle: smaller on what is seen small, so that its edge can still be seen. */
export function handlePx(handles: readonly Handle[]): number {
  const [, right, left, bottom, top] = handles;
  if (!right || !left || !bottom || !top) return HANDLE_PX;
  const least = Math.min(Math.abs(right.at[0] - left.at[0]), Math.abs(bottom.at[1] - top.at[1]));
  return Math.min(HANDLE_PX, Math.max(LEAST_HANDLE_PX, least / 10));
}

function drawLayer(context: CanvasRenderingContext2D, scene: Scene, layer: Layer): void {
  const { grid, plane, slice, viewport, screen } = scene;
  const patch = patchOf(layer.mask, grid, plane, slice);
  if (!patch) return;
  const [sx, sy] = [grid.spacingMm[plane.across.axis], grid.spacingMm[plane.down.axis]];
  const place = (u: number, v: number): Point => toScreen(viewport, screen, [u * sx, v * sy]);
  const edge = new Path2D();
  for (const [u0, v0, u1, v1] of outline(patch)) {
    edge.moveTo(...place(u0, v0));
    edge.lineTo(...place(u1, v1));
  }
  const area = new Path2D();
  for (let row = 0; row < patch.height; row += 1) {
    let start = -1;
    for (let column = 0; column <= patch.width; column += 1) {
      const here = column < patch.width && patch.inside[row * patch.width + column] === 1;
      if (here && start < 0) start = column;
      if (!here && start >= 0) {
        const [x0, y0] = place(patch.left + start, patch.top + row);
        const [x1, y1] = place(patch.left + column, patch.top + row + 1);
        area.rect(x0, y0, x1 - x0, y1 - y0);
        start = -1;
      }
    }
  }
  context.fillStyle = layer.colour;
  context.globalAlpha = TINT;
  context.fill(area);
  context.globalAlpha = 1;
  context.lineCap = "round";
  context.strokeStyle = "rgb(0 0 0 / 60%)";
  context.lineWidth = layer.selected ? 4.5 : 3.5;
  context.stroke(edge);
  context.strokeStyle = layer.colour;
  context.lineWidth = layer.selected ? 2.25 : 1.5;
  context.stroke(edge);
}

function drawCrosshair(context: CanvasRenderingContext2D, scene: Scene): void {
  const { grid, plane, viewport, screen, cursor } = scene;
  const [x, y] = toScreen(viewport, screen, toPicture(grid, plane, cursor));
  context.strokeStyle = "rgb(244 246 248 / 45%)";
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(0, y);
  context.lineTo(x - GAP, y);
  context.moveTo(x + GAP, y);
  context.lineTo(screen[0], y);
  context.moveTo(x, 0);
  context.lineTo(x, y - GAP);
  context.moveTo(x, y + GAP);
  context.lineTo(x, screen[1]);
  context.stroke();
}

function drawHandles(context: CanvasRenderingContext2D, scene: Scene): void {
  const [middle, right, left, bottom, top] = scene.handles;
  if (!middle || !right || !left || !bottom || !top) return;
  const [rx, ry] = [Math.abs(right.at[0] - left.at[0]) / 2, Math.abs(bottom.at[1] - top.at[1]) / 2];
  context.strokeStyle = "rgb(244 246 248 / 80%)";
  context.lineWidth = 1.25;
  context.setLineDash([5, 4]);
  context.beginPath();
  context.ellipse(middle.at[0], middle.at[1], rx, ry, 0, 0, 2 * Math.PI);
  context.stroke();
  context.setLineDash([]);
  const radius = handlePx(scene.handles);
  for (const { at, end } of scene.handles) {
    context.beginPath();
    context.arc(at[0], at[1], end ? radius : radius / 2, 0, 2 * Math.PI);
    context.fillStyle = "#f4f6f8";
    context.fill();
    context.strokeStyle = "#000";
    context.lineWidth = 2;
    context.stroke();
  }
}

/** White on black: to be seen on any tissue. */
function strokeTool(context: CanvasRenderingContext2D): void {
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.lineWidth = 3;
  context.stroke();
  context.strokeStyle = "#f4f6f8";
  context.lineWidth = 1.25;
  context.stroke();
}

/** The line so far, and dashed how it would be closed now. */
function drawTrace(context: CanvasRenderingContext2D, trace: readonly Point[]): void {
  const [first, last] = [trace[0], trace[trace.length - 1]];
  if (!first || !last) return;
  context.beginPath();
  for (const [x, y] of trace) context.lineTo(x, y);
  strokeTool(context);
  context.setLineDash([5, 4]);
  context.beginPath();
  context.moveTo(...last);
  context.lineTo(...first);
  strokeTool(context);
  context.setLineDash([]);
}

/** Draws all of it, the scan's slice below everything. */
export function drawScene(context: CanvasRenderingContext2D, scene: Scene): void {
  const { viewport, screen, density, pictureMm, ring } = scene;
  context.setTransform(density, 0, 0, density, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, screen[0], screen[1]);
  const [x0, y0] = toScreen(viewport, screen, [0, 0]);
  const [x1, y1] = toScreen(viewport, screen, pictureMm);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(scene.picture, x0, y0, x1 - x0, y1 - y0);
  for (const layer of scene.layers) drawLayer(context, scene, layer);
  drawCrosshair(context, scene);
  if (scene.handles.length > 0) drawHandles(context, scene);
  if (ring) {
    context.beginPath();
    context.arc(ring.at[0], ring.at[1], ring.radiusPx, 0, 2 * Math.PI);
    strokeTool(context);
  }
  drawTrace(context, scene.trace);
}
