import { expect, test } from "vitest";

import { forecastOf } from "./forecast";
import { monitoringScans } from "./scans";
import { at, LIMITS, measurement, NOON_MS, notAssessable, PROCEDURE } from "./testing";
import type { Interval, Measurement, Phase, Procedure, TimeSpan } from "./wire";

const FREEZE: Phase = { procedure_id: "p", phase: "freeze", since: at(-600), cycle: 1, pressed_at: at(-600) };
const FREEZING: Procedure = { ...PROCEDURE, phase: FREEZE };

const between = (low: number, high: number): Interval => ({ value: (low + high) / 2, low, high });

interface Foreseen {
  margin?: Interval;
  hilum?: Interval;
  until?: TimeSpan | null;
  untilValue?: number;
  contact?: TimeSpan | null;
  contactValue?: number;
}

/** A scan of `ageS` seconds ago that forecasts. */
function foreseeing(ageS: number, foreseen: Foreseen = {}): Measurement {
  const scan = measurement("a", -ageS, 2, 9);
  const margin = foreseen.margin ?? between(4.1, 7.9);
  const hilum = foreseen.hilum ?? between(3.2, 6.4);
  const ahead = (after_s: number, mm: number) => ({
    after_s,
    volume_ml: between(20, 30),
    margin_mm: between(margin.low + mm, margin.high + mm),
    structures: [
      { name: "bowel", distance_mm: between(90, 91) },
      { name: "renal hilum", distance_mm: between(hilum.low - mm, hilum.high - mm) },
    ],
  });
  const { until = { low: 90, high: 210 }, contact = { low: 190, high: 400 } } = foreseen;
  return {
    ...scan,
    structures: scan.structures.map((structure) =>
      structure.name === "bowel"
        ? { ...structure, contact_in_s: 10, contact_interval_s: { low: 5, high: 15 } }
        : {
            ...structure,
            contact_in_s: foreseen.contactValue ?? 300,
            contact_interval_s: contact,
          },
    ),
    forecast: {
      basis: "freezing model",
      ahead: [ahead(60, -1), ahead(180, 0), ahead(300, 1)],
      margin_5_mm_in_s: until && { ...until, value: foreseen.untilValue ?? 150 },
    },
  };
}

function line(
  subject: "tumour" | "hilum",
  scan: Measurement,
  procedure: Procedure | null = FREEZING,
): readonly string[] {
  return forecastOf(subject, monitoringScans([scan], "p"), procedure, LIMITS, NOON_MS);
}

test("the forecast of the margin, and of the hilum by its kind", () => {
  expect(line("tumour", foreseeing(10))).toEqual(["4–7 mm in 2:50", "5 mm in 2–4 min"]);
  expect(line("hilum", foreseeing(10))).toEqual(["3–6 mm in 2:50", "contact in 3–6 min"]);
});

test("it counts from the acquisition, not from when it came or is looked at", () => {
  expect(line("tumour", foreseeing(120))).toEqual(["4–7 mm in 1:00", "5 mm in 1–2 min"]);
  expect(line("hilum", foreseeing(120))).toEqual(["3–6 mm in 1:00", "contact in 1–4 min"]);
});

test("a part whose time has passed is gone", () => {
  expect(line("tumour", foreseeing(180))).toEqual(["5 mm in 1 min"]);
  expect(line("tumour", foreseeing(211))).toEqual([]);
  expect(line("hilum", foreseeing(230, { contact: { low: 60, high: 230 } }))).toEqual([]);
});

test("numbers are rounded towards danger: distances down, the wanted late, the feared early", () => {
  const scan = foreseeing(0, {
    margin: between(-2.1, 1.9),
    hilum: between(-0.1, 0.9),
    until: { low: 61, high: 181 },
    contact: { low: 119, high: 239 },
  });
  expect(line("tumour", scan)).toEqual(["−3 to 1 mm in 3:00", "5 mm in 2–4 min"]);
  expect(line("hilum", scan)).toEqual(["−1 to 0 mm in 3:00", "contact in 1–3 min"]);
});

test("a range that rounds to one number is one number", () => {
  const scan = foreseeing(0, {
    margin: between(4.1, 4.9),
    until: { low: 70, high: 110 },
    contact: { low: 10, high: 50 },
  });
  expect(line("tumour", scan)).toEqual(["4 mm in 3:00", "5 mm in 2 min"]);
  expect(line("hilum", scan)[1]).toBe("contact within 1 min");
});

test("what may never come has no end", () => {
  const scan = foreseeing(0, { until: { low: 130, high: null }, contact: { low: 130, high: null } });
  expect(line("tumour", scan)[1]).toBe("5 mm in 3+ min");
  expect(line("hilum", scan)[1]).toBe("contact in 2+ min");
  const now = foreseeing(0, { until: { low: 0, high: null }, contact: { low: 0, high: null } });
  expect(line("tumour", now)).toHaveLength(1);
  expect(line("hilum", now)[1]).toBe("contact possible");
});

test("what is not foreseen, and what was reached already, is not foretold", () => {
  const never = foreseeing(0, { until: null, contact: null });
  const there = foreseeing(0, { untilValue: 0, contactValue: 0 });
  for (const scan of [never, there]) {
    expect(line("tumour", scan)).toHaveLength(1);
    expect(line("hilum", scan)).toHaveLength(1);
  }
});

test("an old measurement, or one from the future, foretells nothing", () => {
  const late = { until: { low: 500, high: 900 } };
  expect(line("tumour", foreseeing(240, late))).toHaveLength(1);
  expect(line("tumour", foreseeing(241, late))).toEqual([]);
  expect(line("tumour", foreseeing(-30, late))).toEqual([]);
});

test("no forecast while it is not the same freeze that goes on", () => {
  const scan = foreseeing(60);
  const pressed = (phase: Phase["phase"], seconds: number): Procedure => ({
    ...FREEZING,
    phase: { ...FREEZE, phase, since: at(seconds) },
  });
  expect(line("tumour", scan, pressed("freeze", -60))).toHaveLength(2);
  for (const procedure of [
    pressed("thaw", -30),
    pressed("idle", -30),
    pressed("thaw", -300),
    pressed("freeze", -30),
    { ...FREEZING, state: "closed" as const },
    null,
  ]) {
    expect(line("tumour", scan, procedure)).toEqual([]);
    expect(line("hilum", scan, procedure)).toEqual([]);
  }
});

test("where nobody presses phases the scans alone tell", () => {
  const unpressed = { ...PROCEDURE, opened_at: PROCEDURE.phase.since };
  expect(line("tumour", foreseeing(60), unpressed)).toHaveLength(2);
});

test("only the current scan foretells, and only a final one", () => {
  const provisional: Measurement = { ...foreseeing(60), assessment: "provisional" };
  expect(line("tumour", provisional)).toEqual([]);
  const newer = [
    notAssessable("b", -5, "moved"),
    measurement("b", -5, 2, 9),
  ];
  for (const next of newer) {
    const scans = monitoringScans([foreseeing(60), next], "p");
    expect(forecastOf("tumour", scans, FREEZING, LIMITS, NOON_MS)).toEqual([]);
  }
  expect(forecastOf("tumour", [], FREEZING, LIMITS, NOON_MS)).toEqual([]);
});
