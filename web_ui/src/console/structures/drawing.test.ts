import { describe, expect, test } from "vitest";

import { blank, carried, changed, colourOf, completed, freeName, hindrance, joined, made } from "./drawing";
import type { Drawing } from "./drawing";
import type { Grid } from "./geometry";
import { guidanceOf } from "./guidance";
import { Mask } from "./mask";

const DOT = Mask.of([0, 0, 0], [1, 1, 1], new Uint8Array([1]));

function markedAs(...kinds: ("tumour" | "hilum")[]): Drawing {
  return blank().map((one) => (kinds.includes(one.kind as "tumour") ? { ...one, mask: DOT } : one));
}

describe("what can be saved", () => {
  test("is something, with names of its own", () => {
    expect(hindrance(blank())).toBe("Nothing is marked yet.");
    expect(hindrance(markedAs("hilum"))).toBe("The tumour is not marked yet.");
    expect(hindrance(markedAs("tumour"))).toBeUndefined();
    const twice = [...markedAs("tumour"), made("tumour ", "other", DOT)];
    expect(hindrance(twice)).toMatch("Two structures");
    expect(hindrance([...markedAs("tumour"), made(" ", "other", DOT)])).toMatch("no name");
  });

  test("a structure without marks is in nobody's way", () => {
    expect(hindrance([...markedAs("tumour"), made("", "other")])).toBeUndefined();
  });
});

test("a change makes another drawing", () => {
  const drawing = blank();
  const id = drawing[0]?.id ?? 0;
  expect(changed(drawing, id, { mask: DOT })[0]?.mask.count).toBe(1);
  expect(drawing[0]?.mask.count).toBe(0);
});

test("tumour and hilum are always there to be marked, and come first", () => {
  const kinds = completed([made("Bowel", "other", DOT), made("GTV", "tumour", DOT)]).map(
    ({ kind, name }) => `${kind} ${name}`,
  );
  expect(kinds).toEqual(["tumour GTV", "hilum Renal hilum", "other Bowel"]);
});

test("a second structure of one name gets a number", () => {
  const drawing = [...blank(), made("Bowel", "other"), made("bowel 2", "other")];
  expect(freeName(drawing, "Ureter")).toBe("Ureter");
  expect(freeName(drawing, "Bowel")).toBe("Bowel 3");
});

test("structures at risk have colours of their own, never an alarm's", () => {
  const drawing = [...blank(), made("Bowel", "other"), made("Ureter", "other")];
  const colours = drawing.map((one) => colourOf(drawing, one));
  expect(new Set(colours).size).toBe(4);
  for (const alarm of ["#ff3b3b", "#ffd60a", "#3fd8f5"]) expect(colours).not.toContain(alarm);
});

describe("marks on a scan that has grown", () => {
  const grid: Grid = {
    size: [4, 4, 4],
    spacingMm: [1, 1, 3],
    originLpsMm: [0, 0, 0],
    direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  };

  test("stay where they are in the patient", () => {
    const grown = { ...grid, size: [4, 4, 6], originLpsMm: [0, 0, -6] } as const;
    const [tumour, hilum] = carried(markedAs("tumour"), grid, grown) ?? [];
    expect(tumour?.mask.has(0, 0, 2)).toBe(true);
    expect([tumour?.mask.count, hilum?.mask.count]).toEqual([1, 0]);
  });

  test("are not carried to voxels that are not theirs", () => {
    const other = { ...grid, originLpsMm: [0, 0, 1] } as const;
    expect(carried(markedAs("tumour"), grid, other)).toBeUndefined();
    const cut = { ...grid, originLpsMm: [0, 0, 3] } as const;
    expect(carried(markedAs("tumour"), grid, cut)).toBeUndefined();
  });
});

describe("what is next", () => {
  test.each([
    ["nothing", [], "tumour", true, 1],
    ["the tumour", ["tumour"], "tumour", true, 2],
    ["the tumour, the hilum in hand", ["tumour"], "hilum", true, 3],
    ["the hilum alone, the tumour in hand", ["hilum"], "tumour", true, 1],
    ["both", ["tumour", "hilum"], "hilum", true, 4],
    ["both, saved", ["tumour", "hilum"], "hilum", false, undefined],
  ] as const)("with %s marked", (_, kinds, selected, unsaved, next) => {
    expect(guidanceOf(markedAs(...kinds), selected, unsaved).next).toBe(next);
  });

  test("what is saved is done only once something is marked", () => {
    expect(guidanceOf(blank(), "tumour", false).done.size).toBe(0);
    expect([...guidanceOf(markedAs("tumour"), "hilum", true).done]).toEqual([1, 2]);
  });
});

test("what a program found fills what is empty, and replaces nothing", () => {
  const found = [made("GTV", "tumour", DOT), made("Bowel", "other", DOT), made("hilus", "hilum", DOT)];
  const own = Mask.of([1, 0, 0], [1, 1, 1], new Uint8Array([1]));
  const drawn = [...blank().map((s) => (s.kind === "tumour" ? { ...s, mask: own } : s)), made("bowel", "other")];
  const all = joined(drawn, found);
  expect(all.map(({ name, kind }) => [name, kind])).toEqual([
    ["Tumour", "tumour"],
    ["Renal hilum", "hilum"],
    ["bowel", "other"],
    ["GTV", "other"],
  ]);
  expect(all[0]?.mask).toBe(own);
  expect(all[1]?.mask).toBe(DOT);
  expect(all[2]?.mask).toBe(DOT);
});
