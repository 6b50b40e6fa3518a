/** Alerts as people see them: which first, with what sign, in what words. */

import type { Alert, Priority } from "./wire";

/** IEC 60601-1-8 message prefixes. */
export const PREFIX: Record<Priority, string> = { high: "***", medium: "**", low: "*" };

const RANK: Record<Priority, number> = { high: 0, medium: 1, low: 2 };

const URGENCY: Record<Exclude<Alert["state"], "cleared">, number> = {
  active_unacknowledged: 0,
  latched: 1,
  active_acknowledged: 2,
};

/** Latched alerts, whose condition is over, still want their acknowledgement. */
export function wantsAcknowledgement(alert: Alert): boolean {
  return alert.state === "active_unacknowledged" || alert.state === "latched";
}

/** Those to show: by priority, in it the unanswered first, in those the newest first. */
export function shownAlerts(alerts: readonly Alert[]): readonly Alert[] {
  return alerts
    .filter((alert) => alert.state !== "cleared")
    .sort(
      (a, b) =>
        RANK[a.priority] - RANK[b.priority] ||
        urgency(a) - urgency(b) ||
        Date.parse(b.raised_at) - Date.parse(a.raised_at),
    );
}

function urgency(alert: Alert): number {
  return alert.state === "cleared" ? Number.POSITIVE_INFINITY : URGENCY[alert.state];
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
