import { expect, test } from "vitest";

import { fitted, fittedTo, fromScreen, panned, toScreen, zoomed } from "./viewport";

const PICTURE = [400, 300] as const;
const SCREEN = [800, 400] as const;

test("the whole picture fits, in proportion", () => {
  const viewport = fitted(PICTURE, SCREEN);
  expect(viewport.scale).toBeCloseTo(4 / 3);
  expect(toScreen(viewport, SCREEN, [200, 150])).toEqual([400, 200]);
  expect(toScreen(viewport, SCREEN, [0, 0])[0]).toBeCloseTo(400 - 800 / 3);
  expect(toScreen(viewport, SCREEN, [0, 0])[1]).toBeCloseTo(0);
});

test("a part of it fits by its corners, in any order", () => {
  const viewport = fittedTo([150, 100], [50, 200], SCREEN);
  expect(viewport).toEqual({ middleMm: [100, 150], scale: 4 });
});

test("there and back is the same place", () => {
  const viewport = { middleMm: [120, 80], scale: 3.5 } as const;
  expect(fromScreen(viewport, SCREEN, toScreen(viewport, SCREEN, [33, 44]))).toEqual([33, 44]);
});

test("zooming keeps what is under the pointer", () => {
  const viewport = fitted(PICTURE, SCREEN);
  const pixel = [500, 100] as const;
  const before = fromScreen(viewport, SCREEN, pixel);
  const after = fromScreen(zoomed(viewport, PICTURE, SCREEN, pixel, 3), SCREEN, pixel);
  expect(after[0]).toBeCloseTo(before[0]);
  expect(after[1]).toBeCloseTo(before[1]);
});

test("it is never smaller than the whole, nor larger than 40 pixels a millimetre", () => {
  const whole = fitted(PICTURE, SCREEN);
  expect(zoomed(whole, PICTURE, SCREEN, [400, 200], 0.1).scale).toBeCloseTo(whole.scale);
  expect(zoomed(whole, PICTURE, SCREEN, [400, 200], 1000).scale).toBe(40);
});

test("the picture can't be pushed off the screen", () => {
  const viewport = panned(fitted(PICTURE, SCREEN), PICTURE, [5000, -5000]);
  expect(viewport.middleMm).toEqual([0, 300]);
});
