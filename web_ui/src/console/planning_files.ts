/** What is said of planning files: of those that came, and of one that was just dropped. */

import type { StructureSource } from "../wire";

export interface Outcome {
  readonly file: string;
  readonly source?: StructureSource;
  /** Why the service did not take it. */
  readonly refusal?: string;
}

const STATES: Record<StructureSource["state"], string> = {
  in_use: "In use.",
  waiting: "Waiting.",
  not_used: "Not used.",
  refused: "Refused.",
};

export function stateText(state: StructureSource["state"]): string {
  return STATES[state];
}

export function outcomeText({ source, refusal }: Outcome): string {
  if (source === undefined) return `Refused. ${refusal ?? ""}`.trim();
  const names = source.names.join(", ");
  return [`${stateText(source.state)} ${names}.`, source.reason?.text, ...source.remarks]
    .filter((part) => part)
    .join(" ");
}
