/** The console's tabs, in their order. A panel gets the live state and draws what it is about. */

import type { Component } from "svelte";

import type { Live } from "../live.svelte";
import PhasesPanel from "./PhasesPanel.svelte";
import ProbesPanel from "./ProbesPanel.svelte";
import ProcedurePanel from "./ProcedurePanel.svelte";
import ScansPanel from "./ScansPanel.svelte";
import SeriesPanel from "./SeriesPanel.svelte";
import StructuresDrop from "./StructuresDrop.svelte";
import StructuresPanel from "./StructuresPanel.svelte";

export interface Panel {
  /** The part of the address after #. */
  readonly id: string;
  readonly title: string;
  readonly component: Component<{ live: Live }>;
}

export const PANELS: readonly Panel[] = [
  { id: "procedure", title: "Procedure", component: ProcedurePanel },
  { id: "series", title: "Series", component: SeriesPanel },
  { id: "structures", title: "Structures", component: StructuresPanel },
  { id: "planning", title: "Planning files", component: StructuresDrop },
  { id: "probes", title: "Probes", component: ProbesPanel },
  { id: "phases", title: "Phases", component: PhasesPanel },
  { id: "scans", title: "Scans", component: ScansPanel },
];
