/** What a person who has never marked anything does next. */

import type { Drawing, Kind } from "./drawing";

export type Step = 1 | 2 | 3 | 4;

export const STEPS: readonly { readonly step: Step; readonly title: string }[] = [
  { step: 1, title: "Click the tumour" },
  { step: 2, title: "Adjust" },
  { step: 3, title: "Click the hilum" },
  { step: 4, title: "Save" },
];

export interface Guidance {
  /** Undefined when all is done. */
  readonly next: Step | undefined;
  readonly done: ReadonlySet<Step>;
  readonly hint: string;
}

function has(drawing: Drawing, kind: Kind): boolean {
  return drawing.some((structure) => structure.kind === kind && structure.mask.count > 0);
}

/** @param selected kind of the structure that is being marked. */
export function guidanceOf(drawing: Drawing, selected: Kind | undefined, unsaved: boolean): Guidance {
  const [tumour, hilum] = [has(drawing, "tumour"), has(drawing, "hilum")];
  const done = new Set<Step>();
  if (tumour) done.add(1);
  if (tumour && (hilum || selected !== "tumour")) done.add(2);
  if (hilum) done.add(3);
  if ((tumour || hilum) && !unsaved) done.add(4);
  if (!tumour && !(hilum && selected !== "tumour")) {
    return {
      next: 1,
      done,
      hint: "Scroll to the tumour’s middle. Press on it and drag to its edge, or only click it.",
    };
  }
  if (!hilum && selected === "tumour") {
    return {
      next: 2,
      done,
      hint: "Look through its slices. Stretch, paint or erase what does not fit, or find it again. Then 3.",
    };
  }
  if (!hilum) {
    return {
      next: 3,
      done,
      hint: "Press on the hilum’s middle and drag out to its edge. Nearer to its shape: Outline, in three or four slices.",
    };
  }
  if (unsaved) return { next: 4, done, hint: "Look through all slices once more, then save." };
  return { next: undefined, done, hint: "Saved. The figures on the display follow these marks." };
}
