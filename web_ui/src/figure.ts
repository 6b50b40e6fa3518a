/** What one of the two big figures shows; every rule about what may be shown is here. */

import { CLOCK_AHEAD_S, ageText, scanAgeSeconds } from "./age";
import { intervalText, limitText, mmText, roundedDown } from "./rounding";
import { currentScan } from "./scans";
import type { Scan } from "./scans";
import type { Interval, Limits, Measurement, Procedure, StructureDistance } from "./wire";
import { waitingFor } from "./waiting";
import type { Subject } from "./waiting";

/** `breach`: tumour outside, ice on hilum. `near`: past the limit. `unsure`: limit in interval. */
export type Level = "breach" | "near" | "unsure" | "clear";

export type Face =
  | {
      readonly kind: "value";
      readonly mm: string;
      readonly interval: string;
      readonly age: string;
      readonly scanNumber: number;
      readonly old: boolean;
      readonly provisional: boolean;
      /** Undefined where the value is old, or provisional and harmless: nothing says "all right". */
      readonly level: Level | undefined;
      readonly state: string;
      readonly sentence: string;
      /** What a person has done about the scan: "corrected by hand", "approved". */
      readonly said: string | undefined;
      readonly reason: string | undefined;
    }
  | {
      readonly kind: "reason";
      readonly title: string;
      readonly reason: string;
      readonly age: string;
      readonly scanNumber: number;
      readonly last: string | undefined;
    }
  | { readonly kind: "waiting"; readonly text: string };

/** Names of the contoured structures of one kind; the hilum's name is the site's own. */
export function structureNames(
  procedure: Procedure | null,
  kind: "tumour" | "hilum" | "other",
): ReadonlySet<string> {
  const structures = procedure?.structures ?? [];
  return new Set(structures.filter((each) => each.kind === kind).map((each) => each.name));
}

export function hilumOf(
  measurement: Measurement,
  procedure: Procedure | null,
): StructureDistance | undefined {
  const names = structureNames(procedure, "hilum");
  const found = measurement.structures.filter((structure) => names.has(structure.name));
  return nearestFirst(found)[0];
}

export function nearestFirst(
  structures: readonly StructureDistance[],
): readonly StructureDistance[] {
  return [...structures].sort((a, b) => a.distance_mm.value - b.distance_mm.value);
}

function intervalFor(
  subject: Subject,
  measurement: Measurement,
  procedure: Procedure | null,
): Interval | undefined {
  if (subject === "tumour") return measurement.tumour?.margin_mm;
  return hilumOf(measurement, procedure)?.distance_mm;
}

function level(interval: Interval, limitMm: number): Level {
  if (roundedDown(interval.value) < 0) return "breach";
  if (roundedDown(interval.value) < limitMm) return "near";
  return roundedDown(interval.low) < limitMm ? "unsure" : "clear";
}

function stateText(subject: Subject, at: Level, limits: Limits): string {
  const limit = limitText(subject === "tumour" ? limits.margin_target_mm : limits.hilum_near_mm);
  const texts: Record<Subject, Record<Level, string>> = {
    tumour: {
      breach: "NOT COVERED",
      near: `BELOW ${limit} mm TARGET`,
      unsure: "TARGET IN INTERVAL",
      clear: `${limit} mm TARGET MET`,
    },
    hilum: {
      breach: "ICE ON HILUM",
      near: `WITHIN ${limit} mm LIMIT`,
      unsure: "LIMIT IN INTERVAL",
      clear: `BEYOND ${limit} mm LIMIT`,
    },
  };
  return texts[subject][at];
}

function sentence(
  subject: Subject,
  measurement: Measurement,
  procedure: Procedure | null,
  mm: number,
): string {
  const rounded = roundedDown(mm);
  if (subject === "tumour") {
    if (rounded < 0) return `tumour NOT covered by ${mmText(-rounded)} mm`;
    return "at the worst point";
  }
  if (rounded < 0) return `ice OVERLAPS hilum by ${mmText(-rounded)} mm`;
  const rate = hilumOf(measurement, procedure)?.rate_mm_per_min;
  if (rate === null || rate === undefined) return "";
  if (Math.abs(rate) < 0.05) return "not moving";
  // A closing speed is rounded away from zero, an opening one towards it.
  const tenths = rate < 0 ? Math.ceil(-rate * 10 - 1e-6) : Math.floor(rate * 10 + 1e-6);
  return `${rate < 0 ? "closing" : "opening"} ${(tenths / 10).toFixed(1)} mm/min`;
}

function saidOf({ correction, review }: Measurement): string | undefined {
  const parts: string[] = [];
  if (correction) parts.push("corrected by hand");
  if (review?.verdict === "approved") parts.push("approved");
  return parts.length > 0 ? parts.join(", ") : undefined;
}

function reasonsText(measurement: Measurement): string {
  return measurement.reasons.map((reason) => reason.text).join(" · ");
}

/** "last measured 2.1 mm, 3 min ago (scan 6)" from the newest scan before `before` with a value. */
function lastValue(
  subject: Subject,
  scans: readonly Scan[],
  procedure: Procedure | null,
  nowMs: number,
): string | undefined {
  for (const scan of scans.slice(0, -1).reverse()) {
    const interval = intervalFor(subject, scan.measurement, procedure);
    if (!interval) continue;
    const age = ageText(scanAgeSeconds(scan.measurement, nowMs));
    return `last measured ${mmText(interval.value)} mm, ${age} (scan ${scan.number})`;
  }
  return undefined;
}

export function faceOf(
  subject: Subject,
  scans: readonly Scan[],
  procedure: Procedure | null,
  limits: Limits,
  nowMs: number,
): Face {
  const scan = currentScan(scans);
  if (!scan) return { kind: "waiting", text: waitingFor(procedure, subject) };
  const { measurement, number: scanNumber } = scan;
  const seconds = scanAgeSeconds(measurement, nowMs);
  const age = ageText(seconds);
  const interval = intervalFor(subject, measurement, procedure);
  if (measurement.assessment === "not_assessable" || !interval) {
    const assessable = measurement.assessment !== "not_assessable";
    const missing = waitingFor(procedure, subject);
    return {
      kind: "reason",
      title: assessable ? "NOT MEASURED" : "NOT ASSESSABLE",
      reason: reasonsText(measurement) || (assessable ? missing : "no reason was given"),
      age,
      scanNumber,
      last: lastValue(subject, scans, procedure, nowMs),
    };
  }
  const unknownAge = seconds < -CLOCK_AHEAD_S;
  const old = unknownAge || seconds > limits.value_old_s;
  const provisional = measurement.assessment === "provisional";
  const limitMm = subject === "tumour" ? limits.margin_target_mm : limits.hilum_near_mm;
  const at = level(interval, limitMm);
  const silent = old || (provisional && (at === "clear" || at === "unsure"));
  return {
    kind: "value",
    mm: mmText(interval.value),
    interval: intervalText(interval),
    age,
    scanNumber,
    old,
    provisional,
    level: silent ? undefined : at,
    state: silent ? "" : stateText(subject, at, limits),
    sentence: sentence(subject, measurement, procedure, interval.value),
    said: saidOf(measurement),
    reason: reasonsText(measurement) || (unknownAge ? "the scanner's clock runs ahead" : undefined),
  };
}
