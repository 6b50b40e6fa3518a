/** Building blocks of the unit tests: small, valid messages. */

import type { Alert, Limits, Measurement, Phase, Procedure } from "./wire";

export const NOON_MS = Date.parse("2026-03-02T12:00:00+00:00");

/** RFC 3339 text of a time some seconds from noon. */
export function at(seconds: number): string {
  return new Date(NOON_MS + seconds * 1000).toISOString();
}

export const LIMITS: Limits = {
  margin_target_mm: 5,
  hilum_near_mm: 5,
  scan_overdue_s: 240,
  value_old_s: 240,
  protocol: [],
};

export const IDLE: Phase = { procedure_id: "p", phase: "idle", since: at(-600), cycle: 0, pressed_at: null };

/** A CT series that was received, of which nothing else is known. */
export const SERIES: Procedure["series"][number] = {
  series_instance_uid: "1.2",
  description: "",
  modality: "CT",
  role: null,
  status: "final",
  slices: 60,
  reason: null,
  acquired_at: null,
  can_be_measured: true,
  chosen_by: null,
  kernel: "",
  metal_reduced: false,
  number: null,
  same_acquisition_as: null,
  slice_thickness_mm: null,
  slice_spacing_mm: null,
};

export const PROCEDURE: Procedure = {
  id: "p",
  patient_id: "1",
  patient_name: "A^B",
  study_instance_uid: "1.2",
  recomputing: null,
  probes: { found: [], removed: [], spacings: [], usual_spacing_mm: [10, 20] },
  nephrometry: null,
  opened_at: at(-1000),
  state: "open",
  phase: IDLE,
  structures_version: 1,
  phases: [],
  offered_phase: null,
  scanner_clock: null,
  structures: [
    { name: "GTV", kind: "tumour", volume_ml: 10, warning_distance_mm: null },
    { name: "renal hilum", kind: "hilum", volume_ml: 5, warning_distance_mm: null },
    { name: "bowel", kind: "other", volume_ml: 50, warning_distance_mm: null },
  ],
  structure_sources: [],
  series: [],
};

export function measurement(
  series: string,
  acquiredS: number,
  marginMm: number,
  hilumMm: number,
): Measurement {
  const around = (value: number) => ({ value, low: value - 0.9, high: value + 0.9 });
  const distance = (name: string, value: number) => ({
    name,
    distance_mm: around(value),
    nearest_point_lps_mm: [0, 0, 0] as const,
    rate_mm_per_min: null,
    contact_in_s: null,
    contact_interval_s: null,
  });
  return {
    id: `m-${series}`,
    procedure_id: "p",
    series_instance_uid: series,
    frame_of_reference_uid: null,
    acquired_at: at(acquiredS),
    last_slice_received_at: at(acquiredS + 10),
    published_at: at(acquiredS + 11),
    role: "monitoring",
    phase: "freeze",
    elapsed_freeze_s: null,
    assessment: "final",
    reasons: [],
    registration: null,
    ice: null,
    tumour: {
      margin_mm: around(marginMm),
      worst_point_lps_mm: [0, 0, 0],
      covered_fraction: { "0": 1 },
    },
    structures: [distance("bowel", 1), distance("renal hilum", hilumMm)],
    forecast: null,
    lethal: null,
    clock_offset_s: 0,
    review: null,
    basis: "",
    correction: null,
    supersedes: null,
    probes: [],
    version: "test",
  };
}

export function notAssessable(series: string, acquiredS: number, text: string): Measurement {
  return {
    ...measurement(series, acquiredS, 0, 0),
    assessment: "not_assessable",
    reasons: [{ code: "x", text }],
    tumour: null,
    structures: [],
  };
}

export function alert(
  id: string,
  priority: Alert["priority"],
  state: Alert["state"],
  raisedS: number,
): Alert {
  return {
    id,
    procedure_id: "p",
    measurement_id: null,
    condition: "hilum_near",
    kind: "physiological",
    priority,
    state,
    raised_at: at(raisedS),
    text: "near",
    value: null,
    limit: null,
    acknowledged_by: null,
    acknowledged_at: null,
    note: null,
    cleared_at: null,
    subject: "",
  };
}
