/** What a person can tell the service from these pages, and what the pages ask it. */

import { errorText } from "./wire";
import type { PhaseName, StructureSource } from "./wire";

/** Longer than any healthy answer; then the person must hear that nothing is known to be done. */
const ANSWER_WITHIN_MS = 8000;

/** The service's answer to a call that it has not refused. @throws Error with a sentence for people. */
export async function answered(
  path: string,
  request: RequestInit = {},
  withinMs = ANSWER_WITHIN_MS,
): Promise<Response> {
  const within = AbortSignal.timeout(withinMs);
  const signal = request.signal ? AbortSignal.any([request.signal, within]) : within;
  let answer: Response;
  try {
    answer = await fetch(path, { ...request, signal });
  } catch {
    throw new Error("The service did not answer.");
  }
  if (answer.ok) return answer;
  const refusal: unknown = await answer.json().catch(() => null);
  throw new Error(errorText(refusal) ?? `The service refused (${answer.status}).`);
}

/** A body to be posted. */
export function posted(body: unknown): RequestInit {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
}

async function post(path: string, body: unknown): Promise<void> {
  await answered(path, posted(body));
}

export function acknowledge(alertId: string): Promise<void> {
  return post(`/api/v1/alerts/${encodeURIComponent(alertId)}/acknowledge`, {});
}

function phasePath(procedureId: string): string {
  return `/api/v1/procedures/${encodeURIComponent(procedureId)}/phase`;
}

/** `since` where it began earlier than now. */
export function pressPhase(procedureId: string, phase: PhaseName, since?: string): Promise<void> {
  return post(phasePath(procedureId), since === undefined ? { phase } : { phase, since });
}

/** The press made at this moment was a mistake. */
export function takeBackPhase(procedureId: string, pressedAt: string): Promise<void> {
  return post(`${phasePath(procedureId)}/take-back`, { pressed_at: pressedAt });
}

export function movePhase(procedureId: string, pressedAt: string, since: string): Promise<void> {
  return post(`${phasePath(procedureId)}/move`, { pressed_at: pressedAt, since });
}

export function dismissOffer(procedureId: string, offerId: string): Promise<void> {
  return post(`${phasePath(procedureId)}/dismiss`, { offer_id: offerId });
}

/** A planning file may be large, and is read before the answer. */
const FILE_WITHIN_MS = 90_000;

/** @throws Error with a sentence for people. */
export async function sendPlanningFile(procedureId: string, file: File): Promise<StructureSource> {
  let answer: Response;
  try {
    answer = await fetch(`/api/v1/procedures/${encodeURIComponent(procedureId)}/structure-file`, {
      method: "POST",
      headers: { "Content-Type": "application/dicom" },
      body: file,
      signal: AbortSignal.timeout(FILE_WITHIN_MS),
    });
  } catch {
    throw new Error("The service did not answer.");
  }
  const said: unknown = await answer.json().catch(() => null);
  if (answer.ok) return said as StructureSource;
  throw new Error(errorText(said) ?? `The service refused (${answer.status}).`);
}

/** What a series is for; null gives it back to the rules. */
export function chooseRole(
  procedureId: string,
  seriesUid: string,
  role: "planning" | "baseline" | "monitoring" | "ignored" | null,
): Promise<void> {
  const procedure = encodeURIComponent(procedureId);
  return post(`/api/v1/procedures/${procedure}/series/${encodeURIComponent(seriesUid)}/role`, {
    role,
  });
}

/** The words for people of whatever was thrown. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
