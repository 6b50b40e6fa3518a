/** The trend as numbers for the chart: minutes on the x axis, a gap where a scan has no value. */

import { takenMs } from "./age";
import { hilumOf } from "./figure";
import type { Scan } from "./scans";
import type { Interval, Phase, PhaseName, Procedure } from "./wire";

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

/** Each pressed phase from its begin to the next one's, the last up to now. */
function spansOf(phases: readonly Phase[], nowMs: number): Span[] {
  return phases.map(({ phase, since }, index) => {
    const fromMs = Date.parse(since);
    const next = phases[index + 1];
    return { phase, fromMs, toMs: Math.max(fromMs, next ? Date.parse(next.since) : nowMs) };
  });
}

export function trendOf(
  scans: readonly Scan[],
  procedure: Procedure | null,
  nowMs: number,
): Trend | undefined {
  const first = scans[0];
  if (!first) return undefined;
  const spans = spansOf(procedure?.phases ?? [], nowMs);
  const firstFreeze = spans.find((span) => span.phase === "freeze");
  const originMs = firstFreeze?.fromMs ?? takenMs(first.measurement);
  const minute = (ms: number): number => (ms - originMs) / MINUTE_MS;
  const minutes = scans.map(({ measurement }) => minute(takenMs(measurement)));
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
