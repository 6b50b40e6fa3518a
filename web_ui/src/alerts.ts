/** Alerts as people see them: which first, with what sign, in what words. */

import type { Alert, Priority } from "./wire";

/** IEC 60601-1-8 message prefixes. */
export const PREFIX: Record<Priority, string> = { high: "***", medium: "**", low: "*" };

const RANK: Record<Priority, number> = { high: 0, medium: 1, low: 2 };

/** Latched alerts, whose condition is over, still want their acknowledgement. */
export function wantsAcknowledgement(alert: Alert): boolean {
  return alert.state === "active_unacknowledged" || alert.state === "latched";
}

/**
 * Those to show: first whose condition holds, by priority, unanswered ones first; then those whose
 * condition is over; in all, the newest first.
 */
export function shownAlerts(alerts: readonly Alert[]): readonly Alert[] {
  return alerts
    .filter((alert) => alert.state !== "cleared")
    .sort(
      (a, b) =>
        Number(a.state === "latched") - Number(b.state === "latched") ||
        RANK[a.priority] - RANK[b.priority] ||
        Number(wantsAcknowledgement(b)) - Number(wantsAcknowledgement(a)) ||
        Date.parse(b.raised_at) - Date.parse(a.raised_at),
    );
}

export function alertText(alert: Alert): string {
  return alert.state === "latched" ? `was: ${alert.text}` : alert.text;
}

/** The priority of the strongest alert whose condition holds, among `conditions`. */
export function activePriority(
  alerts: readonly Alert[],
  condition: Alert["condition"],
): Priority | undefined {
  return shownAlerts(alerts).find(
    (alert) => alert.condition === condition && alert.state !== "latched",
  )?.priority;
}
