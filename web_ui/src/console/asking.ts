/** What the console asks the service, and tells it. All throw an Error with a sentence for people. */

import type { Point } from "../plane";
import { answered, posted } from "../requests";
import { checked } from "../wire";
import type { Decision, Procedure, Worklist } from "../wire";

const API = "/api/v1";

function procedurePath(id: string): string {
  return `${API}/procedures/${encodeURIComponent(id)}`;
}

async function listOf<T>(path: string, item: (value: unknown) => T): Promise<readonly T[]> {
  const found: unknown = await (await answered(path)).json();
  if (!Array.isArray(found)) throw new Error("The service's answer is no list.");
  return found.map(item);
}

/** Those of this run, newest first. */
export function procedures(): Promise<readonly Procedure[]> {
  return listOf(`${API}/procedures`, (value) => checked("Procedure", value));
}

/** Oldest first. */
export function decisions(procedureId: string): Promise<readonly Decision[]> {
  return listOf(`${procedurePath(procedureId)}/decisions`, (value) => checked("Decision", value));
}

export async function worklist(): Promise<Worklist> {
  return checked("Worklist", await (await answered(`${API}/worklist`)).json());
}

export async function begin(patientId: string, studyInstanceUid: string): Promise<void> {
  const body = { patient_id: patientId, study_instance_uid: studyInstanceUid };
  await answered(`${API}/procedures`, posted(body));
}

export async function close(procedureId: string): Promise<void> {
  await answered(`${procedurePath(procedureId)}/close`, posted({}));
}

export async function reopen(procedureId: string): Promise<void> {
  await answered(`${procedurePath(procedureId)}/reopen`, posted({}));
}

/** What was found is no probe: all is measured again without it. */
export async function takeOut(procedureId: string, probeId: string): Promise<void> {
  const probe = encodeURIComponent(probeId);
  await answered(`${procedurePath(procedureId)}/probes/${probe}/remove`, posted({}));
}

export async function putBack(procedureId: string, probeId: string): Promise<void> {
  const probe = encodeURIComponent(probeId);
  await answered(`${procedurePath(procedureId)}/probes/${probe}/restore`, posted({}));
}

export async function review(
  measurementId: string,
  verdict: "approved" | "rejected",
  reason = "",
): Promise<void> {
  const path = `${API}/measurements/${encodeURIComponent(measurementId)}/review`;
  await answered(path, posted({ verdict, reason }));
}

/** How a scan is to be measured; nothing but nulls: as it is found. */
export interface Correction {
  readonly baseline_series_instance_uid: string | null;
  readonly seed_lps_mm: Point | null;
  readonly nudge_mm: Point | null;
  readonly note: string;
}

export async function correct(
  procedureId: string,
  seriesUid: string,
  correction: Correction,
): Promise<void> {
  const series = encodeURIComponent(seriesUid);
  await answered(`${procedurePath(procedureId)}/series/${series}/correction`, posted(correction));
}
