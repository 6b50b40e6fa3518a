/** Measuring a scan in another way: what can be chosen, and how it is said. */

import type { Point } from "../plane";
import type { Scan } from "../scans";
import type { Measurement, Procedure, Series } from "../wire";

export interface Step {
  readonly letter: "L" | "R" | "A" | "P" | "H" | "F";
  readonly to: string;
  readonly by: Point;
}

/** One millimetre each; LPS: x grows to the patient's left, y to the back, z to the head. */
export const STEPS: readonly Step[] = [
  { letter: "R", to: "the patient's right", by: [-1, 0, 0] },
  { letter: "L", to: "the patient's left", by: [1, 0, 0] },
  { letter: "A", to: "anterior", by: [0, -1, 0] },
  { letter: "P", to: "posterior", by: [0, 1, 0] },
  { letter: "H", to: "the head", by: [0, 0, 1] },
  { letter: "F", to: "the feet", by: [0, 0, -1] },
];

/** The service takes no more in one direction. */
export const FARTHEST_MM = 50;

export const NOWHERE: Point = [0, 0, 0];

export function sum(a: Point, b: Point): Point {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
}

export function difference(a: Point, b: Point): Point {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

export function isNowhere(mm: Point): boolean {
  return mm.every((part) => part === 0);
}

export function within(mm: Point): boolean {
  return mm.every((part) => Math.abs(part) <= FARTHEST_MM);
}

const SIDES = [
  ["R", "L"],
  ["A", "P"],
  ["F", "H"],
] as const;

/** "2 mm to L, 1.5 mm to H"; "not moved" */
export function movedText(mm: Point): string {
  const parts = SIDES.flatMap(([negative, positive], axis) => {
    const length = mm[axis] ?? 0;
    if (length === 0) return [];
    return [`${Number(Math.abs(length).toFixed(1))} mm to ${length < 0 ? negative : positive}`];
  });
  return parts.join(", ") || "not moved";
}

/** "to H: 2 mm" in words of what a scan was measured with; undefined for as it is found. */
export function correctionText(
  correction: {
    readonly baseline_series_instance_uid: string | null;
    readonly seed_lps_mm: Point | null;
    readonly nudge_mm: Point | null;
  },
  nameOf: (seriesUid: string) => string,
): string | undefined {
  const { baseline_series_instance_uid: baseline, seed_lps_mm, nudge_mm } = correction;
  const parts = [];
  if (baseline !== null) parts.push(`compared with ${nameOf(baseline)}`);
  if (seed_lps_mm !== null) parts.push("ice grown from a point");
  if (nudge_mm !== null) parts.push(`contours moved ${movedText(nudge_mm)}`);
  return parts.join(", ") || undefined;
}

/** What people call a series: "Scan 3", "the baseline", or its description. */
export function seriesNames(
  procedure: Procedure | null,
  scans: readonly Scan[],
): (seriesUid: string) => string {
  const names = new Map<string, string>();
  for (const series of procedure?.series ?? []) {
    const described = series.description || `a ${series.modality} series`;
    const role = series.role === "planning" || series.role === "baseline" ? series.role : null;
    names.set(series.series_instance_uid, role ? `the ${role} scan (${described})` : described);
  }
  for (const { number, measurement } of scans) {
    names.set(measurement.series_instance_uid, `scan ${number}`);
  }
  return (seriesUid) => names.get(seriesUid) ?? "a series of before";
}

/** Earlier volumes without ice, which a scan can be compared with, oldest first. */
export function baselines(
  procedure: Procedure,
  scans: readonly Scan[],
  of: Measurement,
): readonly Series[] {
  const before = Date.parse(of.acquired_at);
  const withoutIce = new Set(
    scans
      .filter((scan) => scan.measurement.reasons[0]?.code === "no_ice")
      .map((scan) => scan.measurement.series_instance_uid),
  );
  return procedure.series
    .filter((series) => {
      if (series.modality !== "CT" || series.acquired_at === null) return false;
      if (Date.parse(series.acquired_at) >= before) return false;
      if (series.status !== "final" && series.status !== "provisional") return false;
      return series.role !== "monitoring" || withoutIce.has(series.series_instance_uid);
    })
    .sort((a, b) => Date.parse(a.acquired_at ?? "") - Date.parse(b.acquired_at ?? ""));
}
