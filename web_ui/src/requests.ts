/** The two things a person can tell the service from this page. */

import { errorText } from "./wire";
import type { PhaseName } from "./wire";

/** Longer than any healthy answer; then the person must hear that nothing is known to be done. */
const ANSWER_WITHIN_MS = 8000;

/** @throws Error with a sentence for people. */
async function post(path: string, body: unknown): Promise<void> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
  } catch {
    throw new Error("The service did not answer.");
  }
  if (answer.ok) return;
  const refusal: unknown = await answer.json().catch(() => null);
  throw new Error(errorText(refusal) ?? `The service refused (${answer.status}).`);
}

export function acknowledge(alertId: string): Promise<void> {
  return post(`/api/v1/alerts/${encodeURIComponent(alertId)}/acknowledge`, {});
}

export function pressPhase(procedureId: string, phase: PhaseName): Promise<void> {
  return post(`/api/v1/procedures/${encodeURIComponent(procedureId)}/phase`, { phase });
}

/** The words for people of whatever was thrown. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
