import { expect, test } from "vitest";

import { intervalText, limitText, mmText, roundedDown } from "./rounding";

test.each([
  [2.48, "2.4"],
  [2.3, "2.3"], // 22.999999999999996 tenths
  [4.999, "4.9"],
  [5, "5.0"],
  [0.04, "0.0"],
  [-0.04, "−0.1"],
  [-0.31, "−0.4"],
  [-12.3, "−12.3"],
])("%f mm is shown as %s: never safer than it is", (mm, text) => {
  expect(mmText(mm)).toBe(text);
});

test("no negative zero", () => {
  expect(Object.is(roundedDown(-0), 0)).toBe(true);
});

test("both ends of an interval are rounded down", () => {
  expect(intervalText({ low: -0.16, high: 3.19 })).toBe("−0.2 to 3.1 mm");
});

test("limits are written without needless decimals", () => {
  expect([limitText(5), limitText(7.5), limitText(-5)]).toEqual(["5", "7.5", "−5"]);
});
