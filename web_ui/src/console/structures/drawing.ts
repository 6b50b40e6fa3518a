/** What is marked: the tumour, the hilum, and whatever else is at risk. Never changed in place. */

import type { Ellipsoid } from "./ellipsoid";
import { shiftBetween } from "./geometry";
import type { Grid, Triple } from "./geometry";
import { Mask } from "./mask";
import { shifted } from "./outlines";
import type { Outlines } from "./outlines";

export type Kind = "tumour" | "hilum" | "other";

export interface Structure {
  readonly id: number;
  readonly name: string;
  readonly kind: Kind;
  /** Ice nearer than this raises an alert; null leaves it to the site's limit. */
  readonly warningMm: number | null;
  readonly mask: Mask;
  /** Set while the mask is this ellipsoid and nothing else. */
  readonly ellipsoid: Ellipsoid | null;
  /** Set while the mask is what these make and nothing else. */
  readonly outlines: Outlines | null;
}

export type Drawing = readonly Structure[];

/** Names on offer for structures at risk. */
export const AT_RISK = ["Ureter", "Renal pelvis", "Bowel", "Adrenal", "Pancreas", "Spleen", "Nerve"];

const OTHER_COLOURS = ["#b9a1ff", "#8ab4ff", "#a5d6a7", "#d9b48f", "#e0e0e0"];

let lastId = 0;

/** A structure with an id of its own. */
export function made(
  name: string,
  kind: Kind,
  mask = new Mask(),
  warningMm: number | null = null,
): Structure {
  lastId += 1;
  return { id: lastId, name, kind, warningMm, ...freely(mask) };
}

/** A mask that was made by anything but an ellipsoid or outlines. */
export function freely(mask: Mask): Pick<Structure, "mask" | "ellipsoid" | "outlines"> {
  return { mask, ellipsoid: null, outlines: null };
}

/** Nothing marked yet. */
export function blank(): Drawing {
  return [made("Tumour", "tumour"), made("Renal hilum", "hilum")];
}

/** A drawing has a tumour and a hilum to mark, marked or not; they come first. */
export function completed(structures: Drawing): Drawing {
  const of = (kind: Kind): Drawing => structures.filter((structure) => structure.kind === kind);
  const [tumour, hilum] = blank() as [Structure, Structure];
  return [
    ...(of("tumour").length ? of("tumour") : [tumour]),
    ...(of("hilum").length ? of("hilum") : [hilum]),
    ...of("other"),
  ];
}

export function changed(drawing: Drawing, id: number, change: Partial<Structure>): Drawing {
  return drawing.map((structure) =>
    structure.id === id ? { ...structure, ...change } : structure,
  );
}

export function marked(drawing: Drawing): Drawing {
  return drawing.filter((structure) => structure.mask.count > 0);
}

/** "Bowel", or "Bowel 2" where there is one already. */
export function freeName(drawing: Drawing, wanted: string): string {
  const taken = new Set(drawing.map((structure) => structure.name.trim().toLowerCase()));
  for (let n = 1; ; n += 1) {
    const name = n === 1 ? wanted : `${wanted} ${n}`;
    if (!taken.has(name.toLowerCase())) return name;
  }
}

/** What was found joins what is marked: it fills what is empty and replaces nothing. */
export function joined(drawing: Drawing, found: Drawing): Drawing {
  return found.reduce<Drawing>((all, one) => {
    const empty = all.find(
      (known) =>
        known.mask.count === 0 &&
        known.kind === one.kind &&
        (one.kind !== "other" || known.name.trim().toLowerCase() === one.name.toLowerCase()),
    );
    if (empty) return changed(all, empty.id, freely(one.mask));
    return [...all, { ...one, kind: "other", name: freeName(all, one.name) }];
  }, drawing);
}

/** Why it can't be saved as it is; undefined when it can. */
export function hindrance(drawing: Drawing): string | undefined {
  const shown = marked(drawing);
  if (shown.length === 0) return "Nothing is marked yet.";
  if (!shown.some(({ kind }) => kind === "tumour")) return "The tumour is not marked yet.";
  const names = shown.map((structure) => structure.name.trim().toLowerCase());
  if (names.includes("")) return "A structure has no name.";
  const twice = names.find((name, n) => names.indexOf(name) !== n);
  if (twice !== undefined) return `Two structures are called “${twice}”.`;
  return undefined;
}

export function colourOf(drawing: Drawing, structure: Structure): string {
  if (structure.kind === "tumour") return "#ffa24d";
  if (structure.kind === "hilum") return "#ff7bd5";
  const others = drawing.filter(({ kind }) => kind === "other");
  const place = Math.max(0, others.findIndex(({ id }) => id === structure.id));
  return OTHER_COLOURS[place % OTHER_COLOURS.length] ?? "#b9a1ff";
}

/** The same marks on a scan that has grown; undefined where they do not fit it. */
export function carried(drawing: Drawing, from: Grid, to: Grid): Drawing | undefined {
  const shift = shiftBetween(from, to);
  if (!shift) return undefined;
  const move = (index: Triple): Triple => [
    index[0] + shift[0],
    index[1] + shift[1],
    index[2] + shift[2],
  ];
  const there = drawing.map((structure) => {
    const { ellipsoid, outlines } = structure;
    const trimmed = structure.mask.trimmed();
    const mask = Mask.of(move(trimmed.origin), trimmed.size, trimmed.data);
    return {
      ...structure,
      mask: mask.count > 0 ? mask : new Mask(),
      ellipsoid: ellipsoid && { ...ellipsoid, centre: move(ellipsoid.centre) },
      outlines: outlines && shifted(to, outlines, shift),
    };
  });
  const fits = there.every(({ mask }) =>
    ([0, 1, 2] as const).every(
      (axis) => mask.origin[axis] >= 0 && mask.origin[axis] + mask.size[axis] <= to.size[axis],
    ),
  );
  return fits ? there : undefined;
}
