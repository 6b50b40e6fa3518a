/** The trend as numbers for the chart: minutes on the x axis, a gap where a scan has no value. */

import { hilumOf } from "./figure";
import type { Scan } from "./scans";
import type { Interval, Measurement, Phase, PhaseName, Procedure } from "./wire";

export interface Curve {
  readonly value: readonly (number | null)[];
  readonly low: readonly (number | null)[];
  readonly high: readonly (number | null)[];
}

export interface Band {
  readonly phase: Exclude<PhaseName, "idle">;
  readonly fromMin: number;
  readonly toMin: number;
}

export interface Trend {
  /** Minutes since the first freeze began, or since the first scan where no freeze is known. */
  readonly minutes: readonly number[];
  readonly origin: "first freeze" | "first scan";
  readonly margin: Curve;
  readonly hilum: Curve;
  /** Minutes of scans that could not be assessed. */
  readonly notAssessable: readonly number[];
  readonly bands: readonly Band[];
}

const MINUTE_MS = 60_000;

function freezeStartMs(measurement: Measurement): number | undefined {
  if (measurement.phase !== "freeze" || measurement.elapsed_freeze_s === null) return undefined;
  return Date.parse(measurement.acquired_at) - measurement.elapsed_freeze_s * 1000;
}

function curve(intervals: readonly (Interval | undefined)[]): Curve {
  return {
    value: intervals.map((each) => each?.value ?? null),
    low: intervals.map((each) => each?.low ?? null),
    high: intervals.map((each) => each?.high ?? null),
  };
}

interface Span {
  phase: PhaseName;
  fromMs: number;
  toMs: number;
}

/** Two starts of one freeze, told by two scans, agree within this. */
const SAME_FREEZE_MS = 20_000;

/**
 * Phases as far as they are known: a freeze from its start to the last scan in it, a thaw between
 * its scans, the current phase from its start to now. What lies between stays unshaded.
 */
function spansOf(scans: readonly Scan[], current: Phase | undefined, nowMs: number): Span[] {
  const spans: Span[] = [];
  for (const { measurement } of scans) {
    if (!measurement.phase) continue;
    const atMs = Date.parse(measurement.acquired_at);
    const startMs = freezeStartMs(measurement);
    const last = spans.at(-1);
    const sameFreeze = startMs === undefined || (last && startMs <= last.fromMs + SAME_FREEZE_MS);
    if (last && last.phase === measurement.phase && sameFreeze) {
      last.toMs = atMs;
      continue;
    }
    // A thaw or pause lasts until the next freeze begins, and that moment is known.
    if (last && startMs !== undefined && last.phase !== "freeze") last.toMs = startMs;
    spans.push({ phase: measurement.phase, fromMs: startMs ?? atMs, toMs: atMs });
  }
  if (!current) return spans;
  const sinceMs = Date.parse(current.since);
  const last = spans.at(-1);
  if (last && last.phase === current.phase && last.toMs >= sinceMs) {
    last.fromMs = Math.min(last.fromMs, sinceMs);
    last.toMs = Math.max(last.toMs, nowMs);
    return spans;
  }
  if (last) last.toMs = Math.max(last.fromMs, sinceMs);
  spans.push({ phase: current.phase, fromMs: sinceMs, toMs: Math.max(sinceMs, nowMs) });
  return spans;
}

export function trendOf(
  scans: readonly Scan[],
  procedure: Procedure | null,
  nowMs: number,
): Trend | undefined {
  const first = scans[0];
  if (!first) return undefined;
  const spans = spansOf(scans, procedure?.phase, nowMs);
  const firstFreeze = spans.find((span) => span.phase === "freeze");
  const originMs = firstFreeze?.fromMs ?? Date.parse(first.measurement.acquired_at);
  const minute = (ms: number): number => (ms - originMs) / MINUTE_MS;
  const minutes = scans.map(({ measurement }) => minute(Date.parse(measurement.acquired_at)));
  return {
    minutes,
    origin: firstFreeze ? "first freeze" : "first scan",
    margin: curve(scans.map(({ measurement }) => measurement.tumour?.margin_mm)),
    hilum: curve(scans.map(({ measurement }) => hilumOf(measurement, procedure)?.distance_mm)),
    notAssessable: minutes.filter(
      (_, index) => scans[index]?.measurement.assessment === "not_assessable",
    ),
    bands: spans.flatMap(({ phase, fromMs, toMs }) =>
      phase === "idle" ? [] : [{ phase, fromMin: minute(fromMs), toMin: minute(toMs) }],
    ),
  };
}

/**
 * Moves labels apart so that neighbours keep `gap` and stay between `top` and `bottom`: labels too
 * close to each other form a group round the middle of their wishes.
 */
export function spread(
  wanted: readonly number[],
  gap: number,
  top: number,
  bottom: number,
): readonly number[] {
  interface Group {
    members: number[];
    start: number;
  }
  const groupOf = (members: number[]): Group => {
    const extent = (members.length - 1) * gap;
    const middle = members.reduce((sum, index) => sum + (wanted[index] ?? 0), 0) / members.length;
    const start = Math.max(top, Math.min(middle - extent / 2, bottom - extent));
    return { members, start };
  };
  const order = wanted.map((_, index) => index);
  order.sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0));
  const groups: Group[] = [];
  for (const index of order) {
    let group = groupOf([index]);
    for (let above = groups.at(-1); above; above = groups.at(-1)) {
      if (above.start + above.members.length * gap <= group.start) break;
      groups.pop();
      group = groupOf([...above.members, ...group.members]);
    }
    groups.push(group);
  }
  const placed = [...wanted];
  for (const { members, start } of groups) {
    members.forEach((index, rank) => (placed[index] = start + rank * gap));
  }
  return placed;
}
