import { expect, test } from "vitest";

import type { Decision } from "../wire";
import { decisionText } from "./saying";

const REVIEW = { kind: "review", measurement_id: "m", series_instance_uid: "1.2", reason: "" } as const;

const SAID: readonly [Decision["what"], string][] = [
  [{ kind: "close" }, "closed the procedure"],
  [{ ...REVIEW, verdict: "approved" }, "approved scan 3"],
  [{ ...REVIEW, verdict: "rejected", reason: "Artefact" }, "rejected scan 3: “Artefact”"],
  [
    {
      kind: "correction",
      series_instance_uid: "1.2",
      baseline_series_instance_uid: null,
      seed_lps_mm: null,
      nudge_mm: [0, 0, 1],
      note: "breathed",
    },
    "had scan 3 measured again, contours moved 1 mm to H: “breathed”",
  ],
  [
    {
      kind: "correction",
      series_instance_uid: "1.2",
      baseline_series_instance_uid: null,
      seed_lps_mm: null,
      nudge_mm: null,
      note: "",
    },
    "had scan 3 measured again, as it is found",
  ],
  [
    { kind: "role", series_instance_uid: "1.2", role: "ignored", note: "" },
    "gave scan 3 the role ignored",
  ],
  [{ kind: "probe_restored", number: 2 }, "put probe 2 back"],
];

test.each(SAID)("%j", (what, text) => expect(decisionText(what, () => "scan 3")).toBe(text));

test("what a newer service knows is at least named", () => {
  const unknown = { kind: "coffee_ordered" } as unknown as Decision["what"];
  expect(decisionText(unknown, String)).toBe("coffee ordered");
});
