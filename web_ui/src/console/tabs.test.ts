import { describe, expect, test } from "vitest";

import { tabByKey, tabOf } from "./tabs";

const IDS = ["procedure", "series", "structures"];

describe("the tab by the address", () => {
  test.each([
    ["#series", "series"],
    ["series", "series"],
    ["", "procedure"],
    ["#", "procedure"],
    ["#gone", "procedure"],
  ])("%s is %s", (hash, id) => expect(tabOf(hash, IDS)).toBe(id));

  test("is none where there are none", () => expect(tabOf("#series", [])).toBeUndefined());
});

describe("the tab by a key", () => {
  test.each([
    ["ArrowRight", "procedure", "series"],
    ["ArrowRight", "structures", "procedure"],
    ["ArrowLeft", "procedure", "structures"],
    ["ArrowLeft", "structures", "series"],
    ["Home", "structures", "procedure"],
    ["End", "procedure", "structures"],
    ["a", "procedure", undefined],
  ])("%s from %s is %s", (key, from, to) => expect(tabByKey(key, from, IDS)).toBe(to));
});
