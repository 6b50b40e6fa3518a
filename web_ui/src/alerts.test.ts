import { expect, test } from "vitest";

import { activePriority, alertText, shownAlerts } from "./alerts";
import { alert } from "./testing";

test("what holds comes before what is over, then priority, then the unanswered, then the newest", () => {
  const alerts = [
    alert("over", "high", "latched", 0),
    alert("gone", "high", "cleared", 0),
    alert("low", "low", "active_unacknowledged", 0),
    alert("answered", "medium", "active_acknowledged", -5),
    alert("older", "medium", "active_unacknowledged", -20),
    alert("newer", "medium", "active_unacknowledged", -10),
  ];
  expect(shownAlerts(alerts).map(({ id }) => id)).toEqual([
    "newer",
    "older",
    "answered",
    "low",
    "over",
  ]);
});

test("an acknowledged alert still colours its figure, one that is over does not", () => {
  expect(activePriority([alert("a", "medium", "active_acknowledged", 0)], "hilum_near")).toBe("medium");
  expect(activePriority([alert("a", "medium", "latched", 0)], "hilum_near")).toBeUndefined();
});

test("an alert whose condition is over says so", () => {
  expect(alertText(alert("a", "high", "latched", 0))).toBe("was: near");
});
