/** The editor's one store: the scan, the marks with their history, and the tool in hand. */

import { words } from "../../requests";
import type { StructuresVersion } from "../../wire";
import { along, GREATEST_RADIUS_MM, LEAST_RADIUS_MM, paintBall } from "./brush";
import { blank, carried, changed, freely, freeName, hindrance, joined, made } from "./drawing";
import type { Drawing, Kind, Structure } from "./drawing";
import { rasterised, roundMask, stretched } from "./ellipsoid";
import type { Ellipsoid } from "./ellipsoid";
import { bodyOf, inside, toLps, voxelAt } from "./geometry";
import type { Axis, Grid, Triple } from "./geometry";
import { History } from "./history";
import { Mask } from "./mask";
import { outlineOf, solid, withOutline, withSlice } from "./outlines";
import {
  planningOf,
  pluginProposalOf,
  proposalOf,
  saved,
  used,
  versionOf,
  versionsOf,
  volumeFor,
} from "./planning";
import type { Planning } from "./planning";
import type { GreyWindow } from "./slices";

export type Tool = "grow" | "ellipsoid" | "outline" | "paint" | "erase" | "stretch" | "look";

/** A line that is being drawn in a slice. */
export interface Trace {
  /** The axis of the grid that runs through the slice. */
  readonly through: Axis;
  readonly line: readonly Triple[];
}

/** Level and width in HU. */
export const WINDOWS: readonly { readonly name: string; readonly window: GreyWindow }[] = [
  { name: "Soft tissue 40/400", window: { levelHu: 40, widthHu: 400 } },
  { name: "Narrow 40/180", window: { levelHu: 40, widthHu: 180 } },
  { name: "Contrast 120/450", window: { levelHu: 120, widthHu: 450 } },
  { name: "Fat and bowel 0/700", window: { levelHu: 0, widthHu: 700 } },
  { name: "Bone 400/1800", window: { levelHu: 400, widthHu: 1800 } },
];

/** Radius of an ellipsoid that was clicked and not dragged out. */
const CLICK_RADIUS_MM: Record<Kind, number> = { tumour: 12, hilum: 8, other: 8 };

/** What the editor is busy with while it does not know yet what is marked. */
export const LOADING = "Loading …";

/** A drag shorter than this is a click. */
const DRAG_MM = 2;

/** How far was dragged; null for a click. */
function draggedMm(grid: Grid, from: Triple, to: Triple): number | null {
  const axes = [0, 1, 2] as const;
  const mm = Math.hypot(...axes.map((axis) => (to[axis] - from[axis]) * grid.spacingMm[axis]));
  return mm >= DRAG_MM ? mm : null;
}

function sphere(centre: Triple, radiusMm: number): Ellipsoid {
  return { centre, radiiMm: [radiusMm, radiusMm, radiusMm] };
}

export class Editor {
  planning = $state.raw<Planning | null>(null);
  volume = $state.raw<Int16Array | null>(null);
  /** Where the body is in it. */
  body = $state.raw<readonly [Triple, Triple]>([
    [0, 0, 0],
    [1, 1, 1],
  ]);
  /** Why there is no scan to mark. */
  absence = $state<string | null>(null);
  loading = $state(false);

  history = $state.raw(History.from<Drawing>(blank()));
  /** What the service has, as last loaded or saved. */
  kept = $state.raw<Drawing>(this.history.present);
  versions = $state.raw<readonly StructuresVersion[]>([]);
  /** The version that was last shown or saved. */
  private shown: number | null = null;
  /** The version in use that was last shown for that. */
  private followed: number | null = null;
  note = $state("");

  selectedId = $state(this.history.present[0]?.id ?? 0);
  hidden = $state.raw<ReadonlySet<number>>(new Set());
  tool = $state<Tool>("grow");
  brushMm = $state(5);
  window = $state.raw<GreyWindow>({ levelHu: 40, widthHu: 400 });
  /** Where all three planes cross. */
  cursor = $state.raw<Triple>([0, 0, 0]);

  /** Where the service has last found a region. */
  found = $state.raw<Triple | null>(null);

  /** The structure as the tool in motion makes it; joins the history when the tool is lifted. */
  draft = $state.raw<{ readonly structure: Structure; readonly from: Triple } | null>(null);
  /** The outline as far as it is drawn. */
  trace = $state.raw<Trace | null>(null);
  /** Rises with every change of a mask in place. */
  strokes = $state(0);

  busy = $state<string | null>(null);
  message = $state.raw<{ readonly text: string; readonly failed: boolean } | null>(null);

  readonly drawing = $derived.by<Drawing>(() => {
    const { draft } = this;
    const { present } = this.history;
    return draft ? changed(present, draft.structure.id, draft.structure) : present;
  });
  readonly selected = $derived(this.drawing.find(({ id }) => id === this.selectedId));
  readonly unsaved = $derived(this.history.present !== this.kept);
  readonly hindrance = $derived(hindrance(this.history.present));
  /** What the handles are on. */
  readonly frame = $derived.by<Ellipsoid | undefined>(() => {
    void this.strokes;
    const { planning, selected } = this;
    if (!planning || !selected) return undefined;
    return selected.ellipsoid ?? roundMask(planning.grid, selected.mask);
  });

  constructor(readonly procedureId: string) {}

  // The scan

  /** Loads a scan and, where there are any, the marks on it that are in use. */
  async open(series: string | null): Promise<void> {
    if (this.loading) return;
    this.loading = true;
    try {
      const planning = await planningOf(this.procedureId, series);
      const known = this.planning;
      if (known?.series === planning.series && known.revision === planning.revision) {
        this.planning = planning;
        return;
      }
      const volume = await volumeFor(this.procedureId, planning);
      if (known && this.unsaved) {
        const drawing =
          known.series === planning.series
            ? carried(this.history.present, known.grid, planning.grid)
            : undefined;
        if (!drawing) throw new Error("what is marked and not saved does not fit it.");
        this.planning = planning;
        this.volume = volume;
        this.body = bodyOf(volume, planning.grid);
        this.draft = null;
        this.history = History.from(drawing);
        this.lookAt(this.cursor);
        this.message = { text: "The scan has grown; the marks stay.", failed: false };
        return;
      }
      this.shown = this.followed = null;
      this.planning = planning;
      this.volume = volume;
      this.body = bodyOf(volume, planning.grid);
      this.cursor = planning.grid.size.map((n) => Math.floor(n / 2)) as unknown as Triple;
      this.draft = null;
      this.replaceAll(blank());
      this.absence = null;
      this.busy = LOADING;
      await this.list();
      const current = this.versions.find((version) => version.in_use);
      if (current) await this.fetch(current.version, true);
      this.busy = null;
    } catch (error) {
      if (this.planning) this.fail("The planning scan could not be opened", error);
      else this.absence = words(error);
    } finally {
      this.loading = false;
    }
  }

  private replaceAll(drawing: Drawing): void {
    this.history = History.from(drawing);
    this.kept = drawing;
    this.selectFirstOf(drawing);
  }

  private selectFirstOf(drawing: Drawing): void {
    const kind = this.selected?.kind ?? "tumour";
    this.selectedId = (drawing.find((s) => s.kind === kind) ?? drawing[0])?.id ?? 0;
  }

  // What is marked

  private commit(drawing: Drawing): void {
    this.history = this.history.with(drawing);
    this.message = null;
  }

  change(id: number, change: Partial<Structure>): void {
    this.commit(changed(this.history.present, id, change));
  }

  add(name: string): void {
    const structure = made(freeName(this.history.present, name), "other");
    this.commit([...this.history.present, structure]);
    this.select(structure.id);
  }

  remove(id: number): void {
    this.commit(this.history.present.filter((structure) => structure.id !== id));
    if (this.selectedId === id) this.selectedId = this.history.present[0]?.id ?? 0;
  }

  clear(id: number): void {
    this.change(id, freely(new Mask()));
    this.select(id);
  }

  /** Takes a structure in hand, with the tool that marks its kind. */
  select(id: number): void {
    const structure = this.history.present.find((one) => one.id === id);
    if (!structure) return;
    this.selectedId = id;
    this.show(id, true);
    if (structure.mask.count === 0) this.tool = structure.kind === "tumour" ? "grow" : "ellipsoid";
    const middle = this.planning && roundMask(this.planning.grid, structure.mask)?.centre;
    if (middle) this.lookAt(middle);
  }

  show(id: number, visible: boolean): void {
    const hidden = new Set(this.hidden);
    if (visible) hidden.delete(id);
    else hidden.add(id);
    this.hidden = hidden;
  }

  undo(): void {
    this.travel(this.history.undone());
  }

  redo(): void {
    this.travel(this.history.redone());
  }

  private travel(history: History<Drawing>): void {
    if (this.draft) return;
    this.history = history;
    this.message = null;
    if (!history.present.some(({ id }) => id === this.selectedId)) {
      this.selectedId = history.present[0]?.id ?? 0;
    }
  }

  lookAt(index: Triple): void {
    if (this.planning) this.cursor = inside(this.planning.grid, index);
  }

  // The tools: down at a place, along, and up

  /** @param through the axis of the grid that runs through the slice where the tool is put down. */
  begin(at: Triple, through: Axis): void {
    const { planning, selected } = this;
    if (!planning || !selected || this.busy || !voxelAt(planning.grid, at)) return;
    this.show(selected.id, true);
    if (this.tool === "paint" || this.tool === "erase") {
      const structure = { ...selected, ...freely(selected.mask.clone()) };
      this.draft = { structure, from: at };
      this.lookAt(at);
      this.dab(structure.mask, at);
    } else if (this.tool === "ellipsoid") {
      this.draftEllipsoid(sphere(at, CLICK_RADIUS_MM[selected.kind]), at);
      this.lookAt(at);
    } else if (this.tool === "outline") {
      this.trace = { through, line: [at] };
    }
  }

  drag(to: Triple): void {
    const { planning, draft, trace } = this;
    if (trace) this.trace = { ...trace, line: [...trace.line, to] };
    if (!planning || !draft) return;
    if (this.tool === "ellipsoid") {
      const radiusMm = draggedMm(planning.grid, draft.from, to);
      const usual = CLICK_RADIUS_MM[draft.structure.kind];
      this.draftEllipsoid(sphere(draft.from, radiusMm ?? usual), draft.from);
    } else if (this.tool === "paint" || this.tool === "erase") {
      for (const at of along(planning.grid, draft.from, to, this.brushMm)) {
        this.dab(draft.structure.mask, at);
      }
      this.draft = { ...draft, from: to };
    }
  }

  /** The tool is lifted: what it did is one step of the history. */
  end(): void {
    const { draft, trace } = this;
    this.cancel();
    if (draft) this.change(draft.structure.id, draft.structure);
    if (trace) this.outline(trace);
  }

  /** What the tool did since it was put down never was. */
  cancel(): void {
    this.draft = null;
    this.trace = null;
  }

  /** Outlines of one plane make a solid; in a mask of other origin one corrects its slice. */
  private outline({ through, line }: Trace): void {
    const { planning, selected } = this;
    if (!planning || !selected) return;
    const { grid } = planning;
    const slice = Math.round(line[0]?.[through] ?? 0);
    const outline = outlineOf(grid, through, line);
    if (!outline) {
      this.message = { text: "Draw all the way round it in one go.", failed: true };
      return;
    }
    const mean = (axis: Axis): number =>
      line.reduce((sum, at) => sum + at[axis], 0) / Math.max(line.length, 1);
    this.lookAt([mean(0), mean(1), mean(2)]);
    if (selected.mask.count > 0 && selected.outlines?.through !== through) {
      this.change(selected.id, freely(withSlice(grid, selected.mask, through, slice, outline)));
      this.message = { text: "This slice of it is as outlined; the others stay.", failed: false };
      return;
    }
    const outlines = withOutline(selected.outlines, through, slice, outline);
    this.change(selected.id, { mask: solid(grid, outlines), ellipsoid: null, outlines });
    const count = outlines.bySlice.size;
    const text =
      count === 1
        ? "Outline it in another slice too: what lies between is filled."
        : `Outlined in ${count} slices; what lies between them is filled.`;
    this.message = { text, failed: false };
  }

  private dab(mask: Mask, at: Triple): void {
    if (!this.planning) return;
    paintBall(mask, this.planning.grid, at, this.brushMm, this.tool === "paint" ? 1 : 0);
    this.strokes += 1;
  }

  private draftEllipsoid(ellipsoid: Ellipsoid, from: Triple): void {
    if (!this.planning || !this.selected) return;
    const mask = rasterised(this.planning.grid, ellipsoid);
    this.draft = { structure: { ...this.selected, mask, ellipsoid, outlines: null }, from };
  }

  /** The selected structure stretched or moved from the frame it had to another. */
  stretch(from: Ellipsoid, to: Ellipsoid): void {
    const original = this.history.present.find(({ id }) => id === this.selectedId);
    if (!this.planning || !original) return;
    const { grid } = this.planning;
    const structure = original.ellipsoid
      ? { ...original, mask: rasterised(grid, to), ellipsoid: to }
      : { ...original, ...freely(stretched(grid, original.mask, from, to)) };
    this.draft = { structure, from: to.centre };
  }

  /** Asks the service for the region round a place; `to` is about where its edge is. */
  async grow(at: Triple, to: Triple = at): Promise<void> {
    const { planning, selected } = this;
    const seed = planning && voxelAt(planning.grid, at);
    if (!planning || !seed || !selected || this.busy) return;
    this.lookAt(seed);
    this.busy = "Finding its edge …";
    this.message = null;
    try {
      const lps = toLps(planning.grid, seed);
      const radiusMm = draggedMm(planning.grid, at, to);
      const found = await proposalOf(this.procedureId, planning, selected.kind, lps, radiusMm);
      if (this.planning !== planning) return;
      this.change(selected.id, freely(found.mask));
      this.message = { text: found.text, failed: false };
      this.found = seed;
    } catch (error) {
      this.fail("No region was found there", error);
    } finally {
      this.busy = null;
    }
  }

  /** Has the site's own program look for structures; what is marked already stays. */
  async runPlugin(): Promise<void> {
    const { planning } = this;
    if (!planning?.plugin || this.busy || this.draft) return;
    this.busy = `${planning.plugin} is looking. This may take minutes …`;
    this.message = null;
    try {
      const found = await pluginProposalOf(this.procedureId, planning);
      if (this.planning !== planning) return;
      this.commit(joined(this.history.present, found.structures));
      this.message = { text: found.text, failed: false };
    } catch (error) {
      this.fail("Nothing was added", error);
    } finally {
      this.busy = null;
    }
  }

  /** The tool in hand, used at the crosshair: for the keyboard. */
  useAtCursor(): void {
    if (this.tool === "grow") {
      void this.grow(this.cursor);
    } else if (this.tool === "paint" || this.tool === "erase" || this.tool === "ellipsoid") {
      this.begin(this.cursor, 2);
      this.end();
    }
  }

  resizeBrush(factor: number): void {
    const radius = Math.round(this.brushMm * factor * 2) / 2;
    const next = radius === this.brushMm ? radius + Math.sign(factor - 1) / 2 : radius;
    this.brushMm = Math.min(Math.max(next, LEAST_RADIUS_MM), GREATEST_RADIUS_MM);
  }

  // Versions

  async list(): Promise<void> {
    try {
      this.versions = await versionsOf(this.procedureId);
    } catch (error) {
      this.fail("The saved versions could not be listed", error);
    }
  }

  async save(): Promise<void> {
    const { planning } = this;
    const drawing = this.history.present;
    if (!planning || this.busy || this.draft || hindrance(drawing)) return;
    this.busy = "Saving …";
    this.message = null;
    try {
      const version = await saved(this.procedureId, planning, drawing, this.note);
      this.kept = drawing;
      this.shown = version;
      this.note = "";
      this.message = { text: `Saved as version ${version}.`, failed: false };
      await this.list();
    } catch (error) {
      this.fail("Not saved", error);
    } finally {
      this.busy = null;
    }
  }

  /** Puts a version's marks in place of what is drawn; undo brings that back. */
  async load(version: number): Promise<void> {
    if (this.busy) return;
    this.busy = LOADING;
    await this.fetch(version, false);
    this.busy = null;
  }

  /** Another version is in use, from elsewhere: it is shown, unless something is not saved. */
  async follow(version: number | null): Promise<void> {
    const listed = this.versions.find((one) => one.in_use)?.version ?? null;
    if (version !== listed) await this.list();
    if (version === null || version === this.followed) return;
    if (version !== this.shown && (this.busy || this.unsaved || this.draft || this.trace)) return;
    this.followed = version; // once: then a person may look at others
    if (version !== this.shown) await this.load(version);
  }

  private async fetch(version: number, first: boolean): Promise<void> {
    const { planning } = this;
    if (!planning) return;
    try {
      const drawing = await versionOf(this.procedureId, version, planning);
      if (first) this.replaceAll(drawing);
      else this.commit(drawing);
      this.kept = drawing;
      this.shown = version;
      this.selectFirstOf(drawing);
      if (!first) this.message = { text: `Version ${version} is shown.`, failed: false };
    } catch (error) {
      this.fail(`Version ${version} could not be shown`, error);
    }
  }

  async use(version: number): Promise<void> {
    if (this.busy) return;
    this.busy = "Changing …";
    try {
      await used(this.procedureId, version);
      this.message = { text: `Version ${version} is in use.`, failed: false };
      await this.list();
    } catch (error) {
      this.fail(`Version ${version} could not be taken`, error);
    } finally {
      this.busy = null;
    }
  }

  private fail(what: string, error: unknown): void {
    this.message = { text: `${what}: ${words(error)}`, failed: true };
  }
}
