/** What is said of probes: whole millimetres, for found tips are right to about one. */

import type { Probe, Probes } from "../wire";

type Spacing = Probes["spacings"][number];

export interface ProbeRow {
  readonly probe: Probe;
  /** "in the tumour, up to 9 mm deep" */
  readonly tumour: string;
  /** "14 mm to probe 2"; undefined for the only one. */
  readonly spacing: string | undefined;
  /** Why it is no usual spacing; undefined where it is. */
  readonly warning: string | undefined;
}

function nearestOf(number: number, spacings: readonly Spacing[]): Spacing | undefined {
  return spacings
    .filter((spacing) => spacing.numbers.includes(number))
    .toSorted((a, b) => a.zones_mm - b.zones_mm)[0];
}

function tumourText(probe: Probe): string {
  const mm = probe.tumour_distance_mm;
  if (mm > 0) return `passes it at ${Math.round(mm)} mm`;
  return `in it, up to ${Math.round(-mm)} mm deep, over ${Math.round(probe.inside_tumour_mm)} mm`;
}

/** Why neighbours at this distance are worth a look; undefined where they are as advised. */
export function spacingWarning(mm: number, usual: readonly [number, number]): string | undefined {
  const [low, high] = usual;
  if (mm < low) return `nearer than ${low} mm`;
  if (mm > high) return `wider than ${high} mm: the ice may leave a gap`;
  return undefined;
}

/** One row for each that was found, by number. */
export function probeRows(probes: Probes): ProbeRow[] {
  return probes.found.map((probe) => {
    const nearest = nearestOf(probe.number, probes.spacings);
    const other = nearest?.numbers.find((number) => number !== probe.number);
    return {
      probe,
      tumour: tumourText(probe),
      spacing: nearest && `${Math.round(nearest.zones_mm)} mm to ${other}`,
      warning: nearest && spacingWarning(nearest.zones_mm, probes.usual_spacing_mm),
    };
  });
}

/** "3 probes"; "1 probe, 2 taken out" */
export function countText(probes: Probes): string {
  const count = probes.found.length;
  const found = count === 0 ? "No probe" : count === 1 ? "1 probe" : `${count} probes`;
  return probes.removed.length > 0 ? `${found}, ${probes.removed.length} taken out` : found;
}
