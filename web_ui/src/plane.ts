/** Where a point of a picture lies in the patient, and the other way round. LPS, mm. */

import type { View } from "./wire";

export type Point = readonly [number, number, number];

type Plane = Pick<View, "origin_lps_mm" | "right_lps" | "down_lps">;

function dot(a: Point, b: Point): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function along(from: Point, direction: Point, mm: number): Point {
  return [from[0] + direction[0] * mm, from[1] + direction[1] * mm, from[2] + direction[2] * mm];
}

/** The patient's point at (x, y) mm from the picture's upper left corner. */
export function pointAt(plane: Plane, x: number, y: number): Point {
  return along(along(plane.origin_lps_mm, plane.right_lps, x), plane.down_lps, y);
}

/** Where a point's projection lies in the picture, and how far the point is from its plane. */
export function placeOf(plane: Plane, point: Point): { x: number; y: number; awayMm: number } {
  const offset = along(point, plane.origin_lps_mm, -1);
  const x = dot(offset, plane.right_lps);
  const y = dot(offset, plane.down_lps);
  return { x, y, awayMm: Math.sqrt(Math.max(0, dot(offset, offset) - x * x - y * y)) };
}

/** A movement as it is seen in the picture. */
export function movedIn(plane: Plane, mm: Point): { x: number; y: number } {
  return { x: dot(mm, plane.right_lps), y: dot(mm, plane.down_lps) };
}
