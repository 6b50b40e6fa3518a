/** What is being waited for while there is no measurement yet. */

import type { Procedure } from "./wire";

export type Subject = "tumour" | "hilum";

export function waitingFor(procedure: Procedure | null, subject: Subject): string {
  if (procedure === null) return "Waiting for a patient's first scan";
  const scans = procedure.series.filter(
    (series) => series.modality === "CT" && series.role !== "ignored" && series.status !== "refused",
  );
  if (scans.length === 0) return "Waiting for the planning scan";
  const kinds = new Set(procedure.structures.map((structure) => structure.kind));
  const refused = procedure.series.find(
    ({ modality, reason }) => ["RTSTRUCT", "SEG"].includes(modality) && reason !== null,
  );
  if (!kinds.has("tumour") && refused?.reason) {
    return `The contours can't be used. ${refused.reason.text}`;
  }
  if (!kinds.has("tumour") && !kinds.has("hilum")) {
    return "Waiting for tumour and hilum contours";
  }
  // Nothing is measured without the tumour; without the hilum, only its own distance is missing.
  if (!kinds.has("tumour")) return "Waiting for the tumour contour";
  if (subject === "hilum" && !kinds.has("hilum")) return "Waiting for the hilum contour";
  if (!scans.some((series) => series.role !== "planning")) {
    return "Waiting for the scan with needles in place";
  }
  return "Waiting for the first scan with ice";
}
