/** The planning scan and its marks, from and to the service. */

import { answered, posted } from "../../requests";
import { checked } from "../../wire";
import type { PlanningCandidate, StructuresVersion } from "../../wire";
import { decoded, encoded, volumeOf } from "./codec";
import { completed, made, marked } from "./drawing";
import type { Drawing, Kind } from "./drawing";
import type { Grid, Triple } from "./geometry";
import type { Mask } from "./mask";

/** A scan of 100 slices is 50 MB: seconds on a slow line. */
const VOLUME_WITHIN_MS = 120_000;
const PROPOSAL_WITHIN_MS = 30_000;
const SAVE_WITHIN_MS = 30_000;
/** The service ends a plug-in that takes longer than the site allows it, minutes at most. */
const PLUGIN_WITHIN_MS = 1_800_000;

export interface Planning {
  readonly series: string;
  readonly revision: number;
  readonly grid: Grid;
  readonly candidates: readonly PlanningCandidate[];
  /** The site's own program that finds structures, if there is one. */
  readonly plugin: string | null;
}

function place(procedureId: string, rest: string): string {
  return `/api/v1/procedures/${encodeURIComponent(procedureId)}/${rest}`;
}

/** @throws Error with a sentence for people; so do all calls here. */
export async function planningOf(procedureId: string, series: string | null): Promise<Planning> {
  const query = series === null ? "" : `?series=${encodeURIComponent(series)}`;
  const answer = await answered(place(procedureId, `planning${query}`));
  const wire = checked("PlanningScan", await answer.json());
  const [nz, ny, nx] = wire.shape;
  return {
    series: wire.series_instance_uid,
    revision: wire.revision,
    grid: {
      size: [nx, ny, nz],
      spacingMm: wire.spacing_mm,
      originLpsMm: wire.origin_lps_mm,
      direction: wire.direction,
    },
    candidates: wire.candidates,
    plugin: wire.plugin,
  };
}

export async function volumeFor(procedureId: string, planning: Planning): Promise<Int16Array> {
  const query = `planning/volume?series=${encodeURIComponent(planning.series)}`;
  const answer = await answered(place(procedureId, query), {}, VOLUME_WITHIN_MS);
  return volumeOf(await answer.arrayBuffer(), planning.grid);
}

export interface Proposal {
  readonly mask: Mask;
  readonly text: string;
}

/** @param radiusMm about how large it is; null leaves it to the service. */
export async function proposalOf(
  procedureId: string,
  planning: Planning,
  kind: Kind,
  seedLpsMm: Triple,
  radiusMm: number | null,
): Promise<Proposal> {
  const body = {
    series_instance_uid: planning.series,
    kind,
    method: "grow",
    seed_lps_mm: seedLpsMm,
    radii_mm: radiusMm === null ? null : [radiusMm, radiusMm, radiusMm],
  };
  const answer = await answered(place(procedureId, "proposal"), posted(body), PROPOSAL_WITHIN_MS);
  const wire = checked("StructureProposal", await answer.json());
  return { mask: await decoded(wire.mask, planning.grid), text: wire.text };
}

/** What the site's own program finds in the scan, and a sentence about it. */
export async function pluginProposalOf(
  procedureId: string,
  planning: Planning,
): Promise<{ readonly structures: Drawing; readonly text: string }> {
  const body = {
    series_instance_uid: planning.series,
    kind: "other",
    method: "plug-in",
    seed_lps_mm: null,
    radii_mm: null,
  };
  const answer = await answered(place(procedureId, "proposal"), posted(body), PLUGIN_WITHIN_MS);
  const wire = checked("StructureProposal", await answer.json());
  const structures = wire.structures.map(async ({ name, kind, mask }) =>
    made(name, kind, await decoded(mask, planning.grid)),
  );
  return { structures: await Promise.all(structures), text: wire.text };
}

export async function versionsOf(procedureId: string): Promise<readonly StructuresVersion[]> {
  const answer = await answered(place(procedureId, "structures"));
  return checked("StructuresVersions", await answer.json()).versions;
}

/** The marks of a version. @throws Error also where they were made on another scan. */
export async function versionOf(
  procedureId: string,
  version: number,
  planning: Planning,
): Promise<Drawing> {
  const answer = await answered(place(procedureId, `structures/${version}`));
  const wire = checked("StructuresContent", await answer.json());
  if (wire.series_instance_uid !== planning.series) {
    throw new Error("These marks were made on another scan.");
  }
  const structures = wire.structures.map(async (structure) =>
    made(
      structure.name,
      structure.kind,
      await decoded(structure.mask, planning.grid),
      structure.warning_distance_mm,
    ),
  );
  return completed(await Promise.all(structures));
}

/** Saves what is marked; the number of the new version. */
export async function saved(
  procedureId: string,
  planning: Planning,
  drawing: Drawing,
  note: string,
): Promise<number> {
  const structures = marked(drawing).map(async ({ name, kind, warningMm, mask }) => ({
    name: name.trim(),
    kind,
    warning_distance_mm: warningMm,
    mask: await encoded(mask),
  }));
  const body = {
    series_instance_uid: planning.series,
    revision: planning.revision,
    structures: await Promise.all(structures),
    note: note.trim(),
  };
  const answer = await answered(place(procedureId, "structures"), posted(body), SAVE_WITHIN_MS);
  return checked("StructuresVersion", await answer.json()).version;
}

/** What is measured from now on follows an older version again. */
export async function used(procedureId: string, version: number): Promise<void> {
  await answered(place(procedureId, `structures/${version}/use`), posted({}), SAVE_WITHIN_MS);
}
