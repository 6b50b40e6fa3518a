/** Which measurement is the current one, and what number its scan has. */

import type { Measurement, Procedure, ScanProgress } from "./wire";

export interface Scan {
  /** 1 is the first monitoring scan of the procedure. */
  readonly number: number;
  readonly measurement: Measurement;
}

function time(moment: string): number {
  return Date.parse(moment);
}

/**
 * The monitoring scans of one procedure in order of acquisition. A later measurement of the same
 * series takes the place of the earlier one, also when it says the series is not a monitoring scan
 * after all.
 */
export function monitoringScans(
  measurements: readonly Measurement[],
  procedureId: string | undefined,
): readonly Scan[] {
  const latest = new Map<string, Measurement>();
  for (const measurement of measurements) {
    if (measurement.procedure_id !== procedureId) continue;
    const known = latest.get(measurement.series_instance_uid);
    if (!known || time(measurement.published_at) >= time(known.published_at)) {
      latest.set(measurement.series_instance_uid, measurement);
    }
  }
  return [...latest.values()]
    .filter((measurement) => measurement.role === "monitoring")
    .sort((a, b) => time(a.acquired_at) - time(b.acquired_at))
    .map((measurement, index) => ({ number: index + 1, measurement }));
}

/** The scan that the figures show. */
export function currentScan(scans: readonly Scan[]): Scan | undefined {
  return scans.at(-1);
}

interface Progress {
  readonly text: string;
  /** How far, 0 to 1; undefined where it isn't known. */
  readonly fraction: number | undefined;
}

/** "Scan 7 arriving: 34 of 60 slices", or else "Measuring again: 3 of 10". */
export function progressOf(
  progress: ScanProgress | null,
  procedure: Procedure | null,
  scans: readonly Scan[],
): Progress | undefined {
  return arriving(progress, procedure, scans) ?? measuringAgain(procedure);
}

function measuringAgain(procedure: Procedure | null): Progress | undefined {
  if (!procedure?.recomputing) return undefined;
  const { done, total } = procedure.recomputing;
  return { text: `Measuring again: ${done} of ${total}`, fraction: done / total };
}

function arriving(
  progress: ScanProgress | null,
  procedure: Procedure | null,
  scans: readonly Scan[],
): Progress | undefined {
  if (!progress || !procedure || progress.procedure_id !== procedure.id) return undefined;
  const uid = progress.series_instance_uid;
  const known = scans.find((scan) => scan.measurement.series_instance_uid === uid);
  if (known && progress.complete && known.measurement.assessment !== "provisional") return undefined;
  const series = procedure.series.find((other) => other.series_instance_uid === uid);
  const role = series?.role ?? null;
  const toMeasure = (role === null && procedure.structures.length > 0) || role === "monitoring";
  const setAside = series?.status === "refused" || series?.status === "stored";
  if (progress.complete && (setAside || !toMeasure)) return undefined;
  const name = known ? `Scan ${known.number}` : seriesName(role, procedure, scans);
  if (progress.complete) return { text: `${name}: all slices here, measuring`, fraction: 1 };
  const { received, expected } = progress;
  if (expected === null) {
    return { text: `${name} arriving: ${received} slices`, fraction: undefined };
  }
  return {
    text: `${name} arriving: ${received} of ${expected} slices`,
    fraction: expected > 0 ? Math.min(1, received / expected) : undefined,
  };
}

function seriesName(
  role: Procedure["series"][number]["role"],
  procedure: Procedure,
  scans: readonly Scan[],
): string {
  if (role === "planning") return "Planning scan";
  if (role === "baseline") return "Baseline scan";
  if (role === "ignored") return "Series without measurement";
  const planned = procedure.structures.length > 0;
  if (role === "monitoring" || (planned && scans.length > 0)) return `Scan ${scans.length + 1}`;
  return "Scan";
}
