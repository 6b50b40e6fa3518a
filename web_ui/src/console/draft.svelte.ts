/** How a person means a scan to be measured, before it is sent; begins with how it was. */

import type { Point } from "../plane";
import type { Measurement } from "../wire";
import type { Correction } from "./asking";
import { difference, isNowhere, NOWHERE } from "./redo";

export class Draft {
  baseline = $state<string | null>(null);
  seed = $state.raw<Point | null>(null);
  /** Whole movement from where registration has put the contours. */
  nudge = $state.raw<Point>(NOWHERE);
  note = $state("");
  /** The next click in a picture is the seed. */
  picking = $state(false);

  readonly before: Omit<Correction, "note">;

  constructor(measurement: Measurement) {
    const { baseline_series_instance_uid = null, seed_lps_mm = null, nudge_mm = null } =
      measurement.correction ?? {};
    this.before = { baseline_series_instance_uid, seed_lps_mm, nudge_mm };
    this.reset();
  }

  /** From where the pictures show the contours to where they would lie. */
  get shift(): Point {
    return difference(this.nudge, this.before.nudge_mm ?? NOWHERE);
  }

  get changed(): boolean {
    const { baseline_series_instance_uid, seed_lps_mm } = this.before;
    return (
      this.baseline !== baseline_series_instance_uid ||
      this.seed !== seed_lps_mm ||
      !isNowhere(this.shift)
    );
  }

  get correction(): Correction {
    return {
      baseline_series_instance_uid: this.baseline,
      seed_lps_mm: this.seed,
      nudge_mm: isNowhere(this.nudge) ? null : this.nudge,
      note: this.note.trim(),
    };
  }

  reset(): void {
    this.baseline = this.before.baseline_series_instance_uid;
    this.seed = this.before.seed_lps_mm;
    this.nudge = this.before.nudge_mm ?? NOWHERE;
    this.note = "";
    this.picking = false;
  }
}
