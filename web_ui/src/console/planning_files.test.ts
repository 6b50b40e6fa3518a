import { expect, test } from "vitest";

import type { StructureSource } from "../wire";
import { outcomeText } from "./planning_files";

const SOURCE: StructureSource = {
  series_instance_uid: "1",
  sop_instance_uid: "2",
  received_at: "2026-01-01T00:00:00+00:00",
  form: "SEG",
  label: "PLAN",
  names: ["Tumour", "Bowel"],
  state: "in_use",
  reason: null,
  remarks: ["“Skin” was left out."],
};

test("what was taken says its state, its structures and what was left out", () => {
  expect(outcomeText({ file: "a.dcm", source: SOURCE })).toBe(
    "In use. Tumour, Bowel. “Skin” was left out.",
  );
});

test("what waits says for what", () => {
  const reason = { code: "scan_awaited", text: "Its scan has not come." };
  const source = { ...SOURCE, state: "waiting" as const, reason, remarks: [] };
  expect(outcomeText({ file: "a.dcm", source })).toBe(
    "Waiting. Tumour, Bowel. Its scan has not come.",
  );
});

test("a refusal is told in the service's own words", () => {
  expect(outcomeText({ file: "a.dcm", refusal: "It is no DICOM file." })).toBe(
    "Refused. It is no DICOM file.",
  );
});
