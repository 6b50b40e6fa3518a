/** What the table of scans says of each; figures are rounded towards danger, as on the display. */

import { clockText } from "../age";
import { hilumOf } from "../figure";
import { intervalText, mmText } from "../rounding";
import type { Interval, Measurement, Procedure } from "../wire";

export interface Figure {
  readonly mm: string;
  readonly interval: string;
}

export interface Row {
  readonly phase: string;
  readonly margin: Figure | undefined;
  readonly hilum: Figure | undefined;
  /** "Final"; all else is in capitals, with why. */
  readonly state: "Final" | "PROVISIONAL" | "NOT ASSESSABLE" | "REJECTED" | "MEASURING AGAIN";
  readonly why: string;
  readonly review: string;
}

const PHASES = { freeze: "Freeze", thaw: "Thaw", idle: "Idle" } as const;

function figureOf(interval: Interval | undefined): Figure | undefined {
  return interval && { mm: mmText(interval.value), interval: intervalText(interval) };
}

export function isRejected(measurement: Measurement): boolean {
  return measurement.reasons[0]?.code === "rejected";
}

export function isRecomputing(measurement: Measurement): boolean {
  return measurement.reasons.some((reason) => reason.code === "recomputing");
}

function stateOf(measurement: Measurement): Row["state"] {
  if (isRecomputing(measurement)) return "MEASURING AGAIN";
  if (isRejected(measurement)) return "REJECTED";
  if (measurement.assessment === "not_assessable") return "NOT ASSESSABLE";
  return measurement.assessment === "provisional" ? "PROVISIONAL" : "Final";
}

export function rowOf(measurement: Measurement, procedure: Procedure | null): Row {
  const { phase, elapsed_freeze_s: elapsed, review } = measurement;
  const clock = elapsed === null ? "" : ` ${clockText(elapsed)}`;
  return {
    phase: phase === null ? "no phase" : PHASES[phase] + clock,
    margin: figureOf(measurement.tumour?.margin_mm),
    hilum: figureOf(hilumOf(measurement, procedure)?.distance_mm),
    state: stateOf(measurement),
    why: measurement.reasons.map((reason) => reason.text).join(" "),
    review: review === null ? "" : `${review.verdict} by ${review.by}`,
  };
}
