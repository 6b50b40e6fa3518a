/** What the table of series shows of each. */

import type { Series } from "../wire";

export type Chosen = "planning" | "baseline" | "monitoring" | "ignored";

/** What a person can make of a series; the empty one gives it back to the rules. */
export function choices(series: Series): readonly { value: Chosen | ""; label: string }[] {
  const byRule = { value: "", label: "By the rules" } as const;
  const aside = { value: "ignored", label: "Ignore" } as const;
  if (!series.can_be_measured) return [byRule, aside];
  return [
    byRule,
    { value: "planning", label: "Planning scan" },
    { value: "baseline", label: "Baseline" },
    { value: "monitoring", label: "Measure" },
    aside,
  ];
}

/** Contours and segmentations have no role: they are judged as structures. */
export function hasRole(series: Series): boolean {
  return series.role !== null || series.can_be_measured || series.status !== "stored";
}

/** Which of the choices holds now. */
export function choiceOf(series: Series): Chosen | "" {
  return series.chosen_by !== null ? (series.role ?? "") : "";
}

/** Kernel and slices: "B30f, 2.5 mm every 2 mm, metal artefacts reduced". */
export function reconstruction(series: Series): string {
  const { slice_thickness_mm: thick, slice_spacing_mm: apart } = series;
  const parts = [series.kernel];
  if (thick !== null && apart !== null && Math.abs(thick - apart) > 0.05) {
    parts.push(`${short(thick)} mm every ${short(apart)} mm`);
  } else if ((thick ?? apart) !== null) {
    parts.push(`${short(thick ?? apart ?? 0)} mm`);
  }
  if (series.metal_reduced) parts.push("metal artefacts reduced");
  return parts.filter((part) => part !== "").join(", ");
}

function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** In the order of acquisition; what has no time stands last. */
export function inOrder(series: readonly Series[]): readonly Series[] {
  const time = (one: Series) => (one.acquired_at === null ? Infinity : Date.parse(one.acquired_at));
  return [...series].sort((a, b) => (time(a) === time(b) ? 0 : time(a) - time(b)));
}
