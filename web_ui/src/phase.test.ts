import { expect, test } from "vitest";

import { clockBadge, lastPress, movedTo, offerText, phaseText, timerOf } from "./phase";
import { at, NOON_MS } from "./testing";
import type { Phase } from "./wire";

const PROTOCOL = [
  { phase: "freeze", planned_s: 600 },
  { phase: "thaw", planned_s: 480 },
  { phase: "freeze", planned_s: 540 },
] as const;

function phase(name: Phase["phase"], cycle: number, sinceS: number): Phase {
  return { procedure_id: "p", phase: name, since: at(sinceS), cycle, pressed_at: at(sinceS) };
}

test.each([
  [phase("freeze", 1, -250), "04:10", "of 10:00 · 05:50 left", undefined],
  [phase("freeze", 1, -600), "10:00", "of 10:00 · 00:00 left", undefined],
  [phase("freeze", 1, -665), "11:05", "of 10:00", "OVER 01:05"],
  [phase("thaw", 1, -100), "01:40", "of 08:00 · 06:20 left", undefined],
  [phase("freeze", 2, -541), "09:01", "of 09:00", "OVER 00:01"],
  [phase("thaw", 2, -100), "01:40", undefined, undefined],
  [phase("freeze", 3, -100), "01:40", undefined, undefined],
  [phase("idle", 1, -100), "01:40", undefined, undefined],
  [phase("thaw", 0, -100), "01:40", undefined, undefined],
] as const)("%o against the protocol", (given, elapsed, plan, over) => {
  expect(timerOf(given, PROTOCOL, NOON_MS)).toEqual({ elapsed, plan, over });
});

test("nothing is planned where the protocol is empty", () => {
  expect(timerOf(phase("freeze", 1, -60), [], NOON_MS).plan).toBeUndefined();
});

test("phases by name", () => {
  const names = [undefined, phase("freeze", 2, 0), phase("idle", 2, 0), phase("thaw", 0, 0)].map(phaseText);
  expect(names).toEqual(["NO PHASE", "FREEZE 2", "IDLE", "THAW"]);
});

test("a press can be taken back for a minute", () => {
  expect(lastPress(phase("freeze", 1, -59), NOON_MS)).toBe(at(-59));
  expect(lastPress(phase("freeze", 1, -60), NOON_MS)).toBeUndefined();
  expect(lastPress({ ...phase("idle", 0, -5), pressed_at: null }, NOON_MS)).toBeUndefined();
  // A phase that began long ago may have been pressed just now.
  const late = { ...phase("freeze", 1, -500), pressed_at: at(-5) };
  expect(lastPress(late, NOON_MS)).toBe(at(-5));
});

test("what is offered is a question", () => {
  const offered = { id: "x", phase: "thaw", since: at(0), earliest: at(0), latest: at(0), text: "" } as const;
  expect(offerText(offered)).toMatch(/^THAW since about \d\d:\d\d:00\?$/);
});

test("a time of day is the last one up to now", () => {
  const shown = (moment: string): string =>
    new Date(moment).toLocaleTimeString("en-GB", { hour12: false });
  const earlier = shown(at(-600));
  expect(movedTo(at(-60), earlier, NOON_MS)).toBe(at(-600));
  expect(movedTo(at(-60), shown(at(600)), NOON_MS)).toBe(at(600 - 86_400));
  expect(movedTo(at(-60), earlier.slice(0, 5), NOON_MS)).toBe(at(-600));
});

test("the scanner's clock as a badge", () => {
  expect(clockBadge("The scanner's clock is about 9 h 30 min behind.")).toBe("SCANNER CLOCK 9 h 30 min BEHIND");
});
