import { expect, test } from "vitest";
import { SERIES } from "./testing";
import { waitingFor } from "./waiting";
import type { Procedure } from "./wire";

type Series = Procedure["series"][number];

function series(modality: string, changes: Partial<Series> = {}): Series {
  return {
    ...SERIES,
    modality,
    status: modality === "CT" ? "final" : "stored",
    slices: 1,
    ...changes,
  };
}

function procedure(all: Series[]): Procedure {
  return {
    id: "p",
    patient_id: "1",
    patient_name: "A",
    study_instance_uid: "1",
    recomputing: null,
    nephrometry: null,
    probes: { found: [], removed: [], spacings: [], usual_spacing_mm: [10, 20] },
    opened_at: "2026-01-01T00:00:00+00:00",
    state: "open",
    phase: { procedure_id: "p", phase: "idle", since: "2026-01-01T00:00:00+00:00", cycle: 0, pressed_at: null },
    phases: [],
    offered_phase: null,
    scanner_clock: null,
    structures: [],
    structures_version: null,
    structure_sources: [],
    series: all,
  };
}

test("contours that can't be used say why, instead of being waited for", () => {
  const reason = { code: "no_tumour", text: "There must be exactly one tumour." };
  const text = waitingFor(procedure([series("CT"), series("RTSTRUCT", { reason })]), "tumour");
  expect(text).toBe("The contours can't be used. There must be exactly one tumour.");
});

test("what is waited for, in the order of a procedure", () => {
  expect(waitingFor(null, "tumour")).toContain("first scan");
  expect(waitingFor(procedure([]), "tumour")).toContain("planning scan");
  expect(waitingFor(procedure([series("CT")]), "tumour")).toContain("contours");
});
