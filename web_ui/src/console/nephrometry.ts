/** Items of the nephrometry scores in words; all of them computed, none a score. */

import type { Nephrometry, NephrometryItem } from "../wire";

const TITLES: Readonly<Record<string, string>> = {
  R: "R, size",
  E: "E, exophytic",
  N: "N, nearness to collecting system or sinus",
  A: "A, anterior or posterior",
  L: "L, polar lines",
  h: "h, touches main vessels",
  axial_3_cm: "Axial diameter 3 cm or more",
  axial_5_cm: "Axial diameter 5 cm or more",
  bowel: "Bowel at 1 cm or less",
  location: "Location",
  ureter: "Ureter at 1 cm or less",
  sinus_fat: "Touches the renal sinus",
  exophytic: "Half or more outside the kidney",
};

export interface ItemRow {
  readonly key: string;
  readonly title: string;
  /** "2", "at least 2", "yes"; "open" where it could not be computed. */
  readonly said: string;
  readonly open: boolean;
  /** "5.2 mm from Renal pelvis"; empty where nothing is to be told. */
  readonly how: string;
  readonly remark: string;
}

function saidOf(item: NephrometryItem): string | undefined {
  if (item.points !== null) return String(item.points);
  if (item.at_least !== null) return `at least ${item.at_least}`;
  if (item.letter !== null) return item.letter;
  if (item.flag === null) return undefined;
  if (!item.flag) return "no";
  return item.name === "h" ? "suggested" : "yes";
}

function figureText(item: NephrometryItem): string {
  if (item.figure === null) return "";
  if (item.unit === "fraction") return `${Math.round(item.figure * 100)} %`;
  return `${item.figure.toFixed(1).replace("-", "−")} mm`;
}

/** What is computed of one of the two scores, in its order. */
export function itemRows(nephrometry: Nephrometry, score: "RENAL" | "ABLATE"): ItemRow[] {
  return nephrometry.items
    .filter((item) => item.score === score)
    .map((item) => {
      const said = saidOf(item);
      const from = item.computed_from.join(", ");
      return {
        key: item.name,
        title: TITLES[item.name] ?? item.name,
        said: said ?? "open",
        open: said === undefined,
        how: [figureText(item), from && `from ${from}`].filter(Boolean).join(" "),
        remark: item.remark,
      };
    });
}

/** "2.8 cm"; one decimal, as scores have it. */
export function cmText(mm: number): string {
  return `${(mm / 10).toFixed(1)} cm`;
}
