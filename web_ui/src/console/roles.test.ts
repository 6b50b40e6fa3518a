import { expect, test } from "vitest";

import { SERIES as ANY } from "../testing";
import { choiceOf, choices, hasRole, inOrder, reconstruction } from "./roles";

const SERIES = {
  ...ANY,
  role: "monitoring" as const,
  acquired_at: "2026-03-01T09:00:00Z",
  kernel: "B30f",
  slice_thickness_mm: 2.5,
  slice_spacing_mm: 2.5,
};

test("what is no volume can only be ignored", () => {
  expect(choices(SERIES).map((choice) => choice.value)).toContain("baseline");
  const localizer = choices({ ...SERIES, can_be_measured: false });
  expect(localizer.map((choice) => choice.value)).toEqual(["", "ignored"]);
});

test("contours have no role", () => {
  expect(hasRole(SERIES)).toBe(true);
  const contours = { ...SERIES, role: null, can_be_measured: false, status: "stored" as const };
  expect(hasRole(contours)).toBe(false);
  expect(hasRole({ ...contours, role: "ignored" })).toBe(true);
});

test("the choice is a person's, not the rules'", () => {
  expect(choiceOf(SERIES)).toBe("");
  expect(choiceOf({ ...SERIES, chosen_by: "console" })).toBe("monitoring");
});

test("the reconstruction in words", () => {
  expect(reconstruction(SERIES)).toBe("B30f, 2.5 mm");
  expect(reconstruction({ ...SERIES, slice_spacing_mm: 1.25, metal_reduced: true })).toBe(
    "B30f, 2.5 mm every 1.25 mm, metal artefacts reduced",
  );
  const bare = { kernel: "", slice_thickness_mm: null, slice_spacing_mm: null };
  expect(reconstruction({ ...SERIES, ...bare })).toBe("");
});

test("in the order of acquisition", () => {
  const later = { ...SERIES, series_instance_uid: "b", acquired_at: "2026-03-01T09:04:00Z" };
  const never = { ...SERIES, series_instance_uid: "c", acquired_at: null };
  const found = inOrder([never, later, SERIES]).map((one) => one.series_instance_uid);
  expect(found).toEqual(["1.2", "b", "c"]);
});
