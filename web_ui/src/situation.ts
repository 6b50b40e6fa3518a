/** The current state as the stream tells it: a snapshot, and what changed since. */

import { heard } from "./age";
import type { HeardClock } from "./age";
import type {
  Alert,
  Clock,
  Limits,
  Measurement,
  Procedure,
  ScanProgress,
  ServerMessage,
  Snapshot,
} from "./wire";

export interface Situation {
  readonly version: string;
  readonly clock: Clock;
  readonly heardClock: HeardClock;
  readonly limits: Limits;
  readonly procedure: Procedure | null;
  readonly measurements: readonly Measurement[];
  readonly alerts: readonly Alert[];
  readonly scanProgress: ScanProgress | null;
}

/** The service's version as people read it; nothing while it is not known. */
export function versionText(situation: Situation | null): string {
  const known = situation?.version ?? "";
  return known === "" || known.startsWith("icemargin") ? known : `icemargin ${known}`;
}

function fromSnapshot(snapshot: Snapshot, monotonicMs: number): Situation {
  return {
    version: snapshot.version,
    clock: snapshot.clock,
    heardClock: heard(snapshot.clock, monotonicMs),
    limits: snapshot.limits,
    procedure: snapshot.procedure,
    measurements: snapshot.measurements,
    alerts: snapshot.alerts,
    scanProgress: snapshot.scan_progress,
  };
}

function replaced<T extends { readonly id: string }>(items: readonly T[], item: T): readonly T[] {
  const known = items.some((other) => other.id === item.id);
  return known ? items.map((other) => (other.id === item.id ? item : other)) : [...items, item];
}

/** The situation after a message; only a snapshot may come to `null`. */
export function after(
  situation: Situation | null,
  message: ServerMessage,
  monotonicMs: number,
): Situation {
  if (message.type === "snapshot") return fromSnapshot(message.data, monotonicMs);
  if (situation === null) throw new Error(`${message.type} before the first snapshot`);
  switch (message.type) {
    case "heartbeat":
      return { ...situation, clock: message.data, heardClock: heard(message.data, monotonicMs) };
    case "measurement":
      return { ...situation, measurements: replaced(situation.measurements, message.data) };
    case "alert":
      return { ...situation, alerts: replaced(situation.alerts, message.data) };
    case "scan_progress":
      return { ...situation, scanProgress: message.data };
    case "procedure":
      return { ...situation, procedure: message.data };
    case "phase": {
      const procedure = situation.procedure;
      if (procedure?.id !== message.data.procedure_id) return situation;
      return { ...situation, procedure: { ...procedure, phase: message.data } };
    }
  }
}
