/** What people have decided, in plain words. */

import type { Decision } from "../wire";
import { correctionText } from "./redo";

type What = Decision["what"];

function quoted(text: string): string {
  return text ? `: “${text}”` : "";
}

/** Those of which no more is to be said; what a newer service has is told by its name. */
const OTHERS: Readonly<Record<string, string>> = {
  structures_dropped: "dropped a planning file on the page",
  phase_taken_back: "took the press of a phase back",
  phase_moved: "moved the beginning of a phase",
  phase_offer_dismissed: "dismissed a phase that was offered",
};

/** "rejected scan 3: “Artefact”"; who has done it is said before. */
export function decisionText(what: What, nameOf: (seriesUid: string) => string): string {
  switch (what.kind) {
    case "open":
      return "began the procedure from the worklist";
    case "close":
      return "closed the procedure";
    case "reopen":
      return "opened the procedure again";
    case "review":
      return `${what.verdict} ${nameOf(what.series_instance_uid)}${quoted(what.reason)}`;
    case "correction": {
      const how = correctionText(what, nameOf) ?? "as it is found";
      return `had ${nameOf(what.series_instance_uid)} measured again, ${how}${quoted(what.note)}`;
    }
    case "structures": {
      const names = what.structures.map((structure) => structure.name).join(", ");
      return `saved version ${what.version} of the structures (${names})${quoted(what.note)}`;
    }
    case "structures_used":
      return `put version ${what.version} of the structures to use`;
    case "role": {
      const name = nameOf(what.series_instance_uid);
      if (what.role === null) return `left the role of ${name} to the rules${quoted(what.note)}`;
      return `gave ${name} the role ${what.role}${quoted(what.note)}`;
    }
    case "probe_removed":
      return `took probe ${what.probe.number} out: it is none`;
    case "probe_restored":
      return `put probe ${what.number} back`;
    default:
      return OTHERS[what.kind] ?? String(what.kind).replaceAll("_", " ");
  }
}

/** "14:05:09", in this browser's time zone. */
export function timeText(moment: string): string {
  return new Date(moment).toLocaleTimeString("en-GB");
}
